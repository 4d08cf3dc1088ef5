//! What the tests of this crate share.

use std::time::Duration;

/// Runs a test on a runtime like the daemon's, for 60 seconds at most.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(60), test).await.expect("the test came to its end in time");
    });
}
