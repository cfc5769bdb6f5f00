//! The chain spoke of a daemon, and of the operator's tool: its endpoints and its cache as the settings have them.

use std::{env, ffi::OsString, path::PathBuf};

use crate::{
    config::{file::from_home, subtensor::CachePlace},
    spoke::chain::cache::MetadataCache,
};

/// Where metadata is kept between two starts.
pub fn metadata_cache(place: &CachePlace) -> MetadataCache {
    let directory = match place {
        CachePlace::Nowhere => None,
        CachePlace::Directory(path) => Some(from_home(path)),
        CachePlace::Usual => usual(env::var_os("CACHE_DIRECTORY"), env::var_os("XDG_CACHE_HOME"), env::home_dir()),
    };
    directory.map_or_else(MetadataCache::none, MetadataCache::at)
}

/// The service manager's directory is the daemon's own (the first, should there be several); the user's is shared.
fn usual(of_service: Option<OsString>, of_user: Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    let of_service = of_service.and_then(|list| env::split_paths(&list).next());
    let of_user = of_user.map(PathBuf::from).or_else(|| home.map(|home| home.join(".cache")));
    let absolute = |path: &PathBuf| path.is_absolute();
    let own = of_service.filter(absolute);
    own.or_else(|| of_user.filter(absolute).map(|directory| directory.join("byteleap")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_managers_cache_comes_first_and_a_relative_one_is_none() {
        let place = |service: Option<&str>, user: Option<&str>, home: Option<&str>| {
            usual(service.map(OsString::from), user.map(OsString::from), home.map(PathBuf::from))
        };
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(place(Some("/var/cache/x:/y"), Some("/u"), Some("/h")), path("/var/cache/x"));
        assert_eq!(place(None, Some("/u"), Some("/h")), path("/u/byteleap"));
        assert_eq!(place(None, None, Some("/h")), path("/h/.cache/byteleap"));
        assert_eq!(place(Some(""), Some("relative"), None), None);
        assert_eq!(place(None, None, None), None);
    }
}
