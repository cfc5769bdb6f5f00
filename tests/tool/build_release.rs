//! What `contrib/build-release` hands to Cargo, in a checkout whose path has a blank. Cargo and the compiler are stand-ins
//! that write down what they are told; that the bits are the same is for `tests/reproducible/run`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/build-release");
const RUSTC: &str = "#!/bin/sh\ncase $1 in --print) echo /rust-1 ;; *) echo 'commit-hash: 0123abcd' ;; esac\n";
// the words of the C flags as the crate cc reads them
const CARGO: &str = r#"#!/bin/sh
echo "$*" >>"$SAID/words"
[ "$1" = build ] || exit 0
echo "${BYTELEAP_REVISION-none}" >"$SAID/revision"
[ "$CC_SHELL_ESCAPED_FLAGS" = 1 ] || exit 9
eval "printf '%s\n' $CFLAGS" >"$SAID/cflags"
"#;

struct Place {
    dir: TempDir,
    source: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().expect("a directory");
    let source = dir.path().join("far away");
    for made in [source.join("contrib"), dir.path().join("bin"), dir.path().join("said")] {
        fs::create_dir_all(made).expect("a directory");
    }
    fs::copy(SCRIPT, source.join("contrib/build-release")).expect("the script");
    for (name, text) in [("cargo", CARGO), ("rustc", RUSTC)] {
        let path = dir.path().join("bin").join(name);
        fs::write(&path, text).expect("a program");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    Place { dir, source }
}

impl Place {
    fn git(&self, words: &[&str]) -> String {
        let names = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org"];
        let output = Command::new("git").args(names).args(words).current_dir(&self.source).output().expect("git");
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
    }

    /// The commit of everything in it.
    fn committed(self) -> (Place, String) {
        self.git(&["init", "--quiet"]);
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", "all"]);
        let commit = self.git(&["rev-parse", "HEAD"]);
        (self, commit)
    }

    fn build(&self, words: &[&str]) {
        let at = |name: &str| self.dir.path().join(name);
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").expect("PATH"));
        let mut command = Command::new(self.source.join("contrib/build-release"));
        for unset in ["BYTELEAP_REVISION", "CARGO_TARGET_DIR", "CFLAGS", "CXXFLAGS"] {
            command.env_remove(unset);
        }
        command.env("PATH", path).env("SAID", at("said")).env("CARGO_HOME", at("cargo")).args(words);
        let output = command.output().expect("the script");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn said(&self, what: &str) -> String {
        fs::read_to_string(self.dir.path().join("said").join(what)).expect("what was said").trim_end().to_owned()
    }
}

fn write(path: &Path) {
    fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
    fs::write(path, "x").expect("a file");
}

#[test]
fn a_path_with_a_blank_is_renamed_in_the_c_parts_too() {
    let place = place();
    place.build(&[]);
    let wanted = format!("-ffile-prefix-map={}=/byteleap", place.source.canonicalize().expect("a path").display());
    assert!(place.said("cflags").lines().any(|flag| flag == wanted), "{}", place.said("cflags"));
}

#[test]
fn what_was_built_is_no_change_of_the_source_and_what_was_written_is() {
    let (place, commit) = place().committed();
    let out = place.source.join("out");
    write(&out.join("release/worker"));
    place.build(&["--target-dir", out.to_str().expect("text")]);
    assert_eq!(place.said("revision"), commit);
    write(&place.source.join("new.rs"));
    place.build(&["--target-dir", out.to_str().expect("text")]);
    assert_eq!(place.said("revision"), format!("{commit}-dirty"));
}

#[test]
fn without_a_checkout_no_revision_is_said() {
    let place = place();
    place.build(&[]);
    assert_eq!(place.said("revision"), "none");
}

#[test]
fn what_is_fetched_is_what_is_built() {
    let place = place();
    place.build(&["--offline", "--no-default-features", "--target", "aarch64-unknown-linux-gnu"]);
    let words = "fetch --locked --quiet --offline --target aarch64-unknown-linux-gnu\n\
                 build --release --locked --bins --offline --no-default-features --target aarch64-unknown-linux-gnu";
    assert_eq!(place.said("words"), words);
}
