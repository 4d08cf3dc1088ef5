//! The keeper as this package's own tests start it. The product's binary is in the package `vigie`.
//!
//! One argument, for the tests of containment: which kind of cgroup it may use (`v1`, `none`; otherwise the best).

use std::path::Path;
use std::process::ExitCode;

use vigie_os::cgroup::{Own, own};

fn main() -> ExitCode {
    let own = own(Path::new("/proc"));
    vigie_keeper::run_within(match std::env::args().nth(1).as_deref() {
        Some("v1") => Own { v2: None, ..own },
        Some("none") => Own::default(),
        _ => own,
    })
}
