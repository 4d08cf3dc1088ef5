//! What runs of a service look like: from its manifest, from a launch, or from a run that lives.

use std::path::{Path, PathBuf};

use vigie_core::launch::Launch;
use vigie_core::manifest::Service;
use vigie_core::recognise::{Command, Expected, Files as _};
use vigie_core::text::OsText;

use super::System;
use crate::error::OsError;
use crate::proc::Proc;
use crate::proc::text::arguments;

/// Of a service, in all of its modes. `root` is the folder of its project.
pub fn of_service(service: &Service, root: &Path) -> Expected {
    of_service_on(service, root, &System::default())
}

/// As [`of_service`], for many: what was asked of the file system once is not asked again.
pub fn of_service_on(service: &Service, root: &Path, files: &System) -> Expected {
    if let Some(by) = &service.recognised_by {
        return Expected::matching(by.clone(), root, crate::user::uid(), files);
    }
    let command: Vec<OsText> = service.command.iter().map(|word| word.as_str().into()).collect();
    let with = |args: &[String]| command.iter().cloned().chain(args.iter().map(|word| word.as_str().into())).collect();
    let mut argvs: Vec<Vec<OsText>> = service.modes.iter().map(|mode| with(&mode.args)).collect();
    argvs.push(command.clone());
    let path = service.env.get("PATH").map(|path| OsText::from(path.as_str())).or_else(own_path);
    expected(argvs, path.as_ref(), service.cwd.as_path(), root, files)
}

/// Of a launch.
pub fn of_launch(launch: &Launch) -> Expected {
    let path = launch.env.iter().find(|(name, _)| name.0 == b"PATH").map(|(_, value)| value);
    let cwd = launch.cwd.as_path();
    let root = if launch.key.dir.0.is_empty() { cwd } else { launch.key.dir.as_path() };
    expected(vec![launch.argv.clone()], path, cwd, root, &System::default())
}

/// Of the run whose main process this is: for one that was started without a manifest. `None` when it is gone.
///
/// # Errors
/// What the kernel says.
pub fn of_process(proc: &Proc, pid: u32) -> Result<Option<Expected>, OsError> {
    let mut buffer = Vec::new();
    let Some(content) = proc.cmdline(pid, &mut buffer)? else { return Ok(None) };
    let argv: Vec<OsText> = arguments(content).map(|word| OsText(word.to_vec())).collect();
    let (Some(executable), Some(cwd)) = (proc.link(pid, "exe")?, proc.link(pid, "cwd")?) else { return Ok(None) };
    let Some((_, rest)) = argv.split_first() else { return Ok(None) };
    let argv = std::iter::once(OsText::from(executable)).chain(rest.iter().cloned()).collect();
    Ok(Some(expected(vec![argv], None, &cwd, &cwd, &System::default())))
}

fn expected(argvs: Vec<Vec<OsText>>, path: Option<&OsText>, cwd: &Path, root: &Path, files: &System) -> Expected {
    let canonical = |folder: &Path| files.canonical(folder).unwrap_or_else(|| PathBuf::from(folder));
    let (cwd, root) = (canonical(cwd), canonical(root));
    Expected::of(&Command { argvs, path, cwd: &cwd, root: &root, uid: crate::user::uid() }, files)
}

fn own_path() -> Option<OsText> {
    std::env::var_os("PATH").map(OsText::from)
}
