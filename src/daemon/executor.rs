//! The GPU executor's program and socket, as a worker's configuration names them; and what is wrong with either.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    config::worker::{Config, Gpu},
    exit::Failure,
    net::unix_socket::{Trouble, troubles},
    spoke::gpu::Program,
};

/// Our executor's executable.
const GPU_EXECUTOR: &str = "byteleap-gpu";

/// Where the GPU executor listens.
#[derive(Debug)]
pub struct Place {
    pub path: PathBuf,
    /// Goes with the worker.
    _directory: Option<tempfile::TempDir>,
}

pub(super) fn gpu_socket(config: &Config) -> Result<Place, Failure> {
    named_socket(config).map_or_else(private_socket, |path| Ok(Place { path, _directory: None }))
}

/// The path that the file names, or that whoever starts the executor uses.
pub fn named_socket(config: &Config) -> Option<PathBuf> {
    config.gpu.socket.clone().or_else(|| (!config.gpu.auto_start).then(|| Gpu::USUAL_SOCKET.into()))
}

/// A directory of this run, which nobody else may enter.
pub fn private_socket() -> Result<Place, Failure> {
    let roots = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let root = roots.into_iter().find(|root| root.is_dir()).unwrap_or_else(std::env::temp_dir);
    let owner_only = std::fs::Permissions::from_mode(0o700);
    let directory = tempfile::Builder::new().prefix("byteleap-worker-").permissions(owner_only).tempdir_in(&root);
    let directory = directory.map_err(|why| {
        Failure::failed(format!("no directory for the GPU executor's socket in {}: {why}", root.display()))
    })?;
    Ok(Place { path: directory.path().join("gpu.sock"), _directory: Some(directory) })
}

/// What is started for the GPUs.
pub fn gpu_program(config: &Config) -> Program {
    match (&config.gpu.binary, config.gpu.auto_start) {
        (_, false) => Program::Elsewhere,
        (Some(binary), true) => Program::Binary(binary.clone()),
        (None, true) => {
            let here = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(GPU_EXECUTOR)));
            Program::Binary(here.unwrap_or_else(|| GPU_EXECUTOR.into()))
        }
    }
}

/// Why a program cannot be started.
pub fn unusable(path: &Path) -> Option<String> {
    match std::fs::metadata(path) {
        Err(why) => Some(why.to_string()),
        Ok(found) if !found.is_file() => Some("it is no file".into()),
        Ok(found) if found.permissions().mode() & 0o111 == 0 => Some("it is not executable: chmod +x".into()),
        Ok(_) => None,
    }
}

/// What is wrong with the place of the socket, where there is one by name.
pub fn socket_troubles(config: &Config) -> Vec<Trouble> {
    let named = named_socket(config).filter(|_| config.gpu.enable);
    named.map(|path| troubles(&path, config.gpu.auto_start)).unwrap_or_default()
}

/// The executor that cannot be started, and the socket on which none can listen. Where the file names neither, nothing
/// is looked at: a worker without our executor serves with its CPU.
pub(super) fn unusable_files(config: &Config) -> Vec<Failure> {
    let Gpu { enable, auto_start, binary, .. } = &config.gpu;
    let named = binary.as_deref().filter(|_| *enable && *auto_start);
    let binary = named.and_then(|path| Some((path, unusable(path)?)));
    let binary = binary.map(|(path, why)| format!("gpu.binary_path: {} cannot be started: {why}", path.display()));
    let socket = socket_troubles(config).into_iter().filter(Trouble::stops).map(|trouble| said(&trouble));
    binary.into_iter().chain(socket).map(Failure::config).collect()
}

/// A worker goes on with its CPU where its GPUs cannot be had.
pub(super) fn warn_of_socket(config: &Config) {
    socket_troubles(config).iter().for_each(|trouble| log::warn!(target: "worker", "{}", said(trouble)));
}

fn said(trouble: &Trouble) -> String {
    format!("gpu.socket_path: {trouble}; {}", trouble.remedy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Role;

    fn config(gpu: &str) -> Config {
        Config::from_yaml(&format!("gpu: {{{gpu}}}")).unwrap().config
    }

    #[test]
    fn what_a_file_names_and_is_not_usable_is_told_by_its_key() {
        let site = tempfile::tempdir().unwrap();
        let at = site.path().display();
        let told = |gpu: &str| {
            let all: Vec<String> = unusable_files(&config(gpu)).iter().map(|one| one.error.to_string()).collect();
            all.join(" | ")
        };
        assert_eq!(told(""), "", "what is not named is not looked at");
        assert!(
            told("binary_path: /nowhere/gpu").starts_with("gpu.binary_path: /nowhere/gpu cannot be started: No such")
        );
        std::fs::write(site.path().join("gpu"), "").unwrap();
        assert!(told(&format!("binary_path: {at}/gpu")).contains("not executable"));
        assert!(told(&format!("socket_path: {at}")).contains("is a directory; name a file in it"));
        assert_eq!(told(&format!("socket_path: {at}/run/gpu.sock")), "", "the executor makes it");
        let missing = told(&format!("auto_start: false, socket_path: {at}/run/gpu.sock"));
        assert!(missing.contains("run is missing; make it"), "{missing}");
        assert_eq!(told("enable: false, binary_path: /nowhere/gpu, socket_path: /tmp"), "");
    }
}
