//! What is one too many, or was left behind: looked for, remembered to be left alone, ended.
//!
//! | file | what it does |
//! |---|---|
//! | `known` | the services that strays are compared with |
//! | `survey` | looks for strays, orphans and leftovers |
//! | `leftovers` | sockets, PID files, records and executables |
//! | `ignored` | what is to be left alone |
//! | `show` | for people |
//! | `act` | ends and removes |

pub(crate) mod act;
pub(crate) mod ignored;
mod known;
mod leftovers;
pub(crate) mod show;
mod survey;

pub(crate) use known::{Known, all, of_project};
pub(crate) use survey::{Found, One, survey};

use vigie_api::status::Report;
use vigie_core::manifest::Project;
use vigie_os::strays::Present;

use crate::failure::Failure;
use crate::scene::Scene;

/// The strays for `status`: of the project here, else of every project that is known. Only processes are looked at, and
/// only those that were there when `present` was listed.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn for_status(
    report: &Report,
    project: Option<&Project>,
    everywhere: bool,
    present: &Present,
    scene: &Scene,
) -> Result<Vec<vigie_api::strays::Stray>, Failure> {
    let known = match project {
        Some(project) if !everywhere => of_project(project, report),
        _ => all(report, scene),
    };
    let found = survey::strays_among(present, &known, report, scene)?;
    Ok(found.into_iter().filter(|one| !one.ignored).map(|one| show::json(&one, &known)).collect())
}
