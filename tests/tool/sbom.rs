//! The software bill of materials that `contrib/sbom` makes: whole, the same each time, with nothing of this machine in it,
//! and of what the binaries are made from alone. It needs Python, and no network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn output(command: &mut Command) -> Output {
    let output = command.output().expect("a program");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn made(directory: &Path) -> String {
    let mut command = Command::new("python3");
    command.arg(Path::new(ROOT).join("contrib/sbom")).args(["--target", TARGET, "--offline"]).current_dir(directory);
    let output = output(command.env("BYTELEAP_REVISION", "0123abcd"));
    String::from_utf8(output.stdout).expect("text")
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("{field} of {value}"))
}

fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().unwrap_or_else(|| panic!("{field} of {value}"))
}

/// Name and version of each package that Cargo builds for the binaries.
fn built() -> BTreeSet<(String, String)> {
    let words = ["tree", "--locked", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p}"];
    let mut command = Command::new(env!("CARGO"));
    let output = output(command.args(words).args(["--target", TARGET]).current_dir(ROOT));
    let tree = String::from_utf8(output.stdout).expect("text");
    let package = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    };
    tree.lines().filter_map(package).filter(|(name, _)| name != "byteleap").collect()
}

/// The checksums of Cargo.lock by name and version.
fn locked() -> BTreeMap<(String, String), String> {
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).expect("Cargo.lock");
    let field = |package: &str, name: &str| {
        let begin = format!("{name} = \"");
        let line = package.lines().find_map(|line| line.strip_prefix(&begin))?;
        Some(line.trim_end_matches('"').to_owned())
    };
    let of = |package: &str| Some(((field(package, "name")?, field(package, "version")?), field(package, "checksum")?));
    lock.split("[[package]]").filter_map(of).collect()
}

fn crates(bill: &Value) -> impl Iterator<Item = &Value> {
    list(bill, "components").iter().filter(|one| text(one, "purl").starts_with("pkg:cargo/"))
}

#[test]
fn the_bill_names_what_the_binaries_are_made_from_and_no_more() {
    let bill: Value = serde_json::from_str(&made(Path::new(ROOT))).expect("JSON");
    let locked = locked();
    let mut named = BTreeSet::new();
    for one in crates(&bill) {
        let package = (text(one, "name").to_owned(), text(one, "version").to_owned());
        assert_eq!(text(one, "purl"), format!("pkg:cargo/{}@{}", package.0, package.1.replace('+', "%2B")));
        let hash = &list(one, "hashes")[0];
        assert_eq!((text(hash, "alg"), text(hash, "content")), ("SHA-256", locked[&package].as_str()), "{one}");
        assert!(!list(one, "licenses").is_empty(), "{one}");
        assert!(["required", "excluded"].contains(&text(one, "scope")), "{one}");
        assert!(named.insert(package), "twice: {one}");
    }
    assert_eq!(named, built());
    assert!(named.iter().all(|(name, _)| !["criterion", "proptest", "rcgen"].contains(&name.as_str())));
    let scope = |name: &str| crates(&bill).find(|one| one["name"] == name).map(|one| text(one, "scope"));
    assert_eq!((scope("rustls"), scope("cc"), scope("syn")), (Some("required"), Some("excluded"), Some("excluded")));
    let sqlite = list(&bill, "components").iter().filter(|one| one["name"] == "sqlite");
    assert_eq!(sqlite.count(), 1, "a crate brings it along");
}

#[test]
fn the_bill_is_a_cyclonedx_document_whose_graph_is_whole() {
    let bill: Value = serde_json::from_str(&made(Path::new(ROOT))).expect("JSON");
    assert_eq!(
        (text(&bill, "bomFormat"), text(&bill, "specVersion"), &bill["version"]),
        ("CycloneDX", "1.5", &1.into())
    );
    let serial = text(&bill, "serialNumber").strip_prefix("urn:uuid:").expect("a UUID");
    assert_eq!(uuid::Uuid::parse_str(serial).expect("a UUID").get_version_num(), 8);
    let root = &bill["metadata"]["component"];
    assert_eq!((text(root, "type"), text(root, "version")), ("application", env!("CARGO_PKG_VERSION")));
    let properties: BTreeMap<_, _> =
        list(root, "properties").iter().map(|one| (text(one, "name"), text(one, "value"))).collect();
    assert_eq!(properties["byteleap:revision"], "0123abcd");
    assert_eq!(properties["byteleap:binaries"], "byteleap byteleap-gpu miner validator worker");

    let refs: BTreeSet<&str> = list(&bill, "components").iter().chain([root]).map(|one| text(one, "bom-ref")).collect();
    assert_eq!(refs.len(), list(&bill, "components").len() + 1, "each has a name of its own");
    let edges: BTreeMap<&str, Vec<&str>> = list(&bill, "dependencies")
        .iter()
        .map(|one| (text(one, "ref"), list(one, "dependsOn").iter().filter_map(Value::as_str).collect()))
        .collect();
    assert_eq!(edges.keys().copied().collect::<BTreeSet<_>>(), refs);
    let (mut reached, mut waiting) = (BTreeSet::new(), vec![text(root, "bom-ref")]);
    while let Some(next) = waiting.pop() {
        if reached.insert(next) {
            waiting.extend(&edges[next]);
        }
    }
    assert_eq!(reached, refs, "everything is there because of something");
}

#[test]
fn the_bill_is_the_same_each_time_and_says_nothing_of_this_machine() {
    let (first, elsewhere) = (made(Path::new(ROOT)), tempfile::tempdir().expect("a temporary directory"));
    assert_eq!(first, made(elsewhere.path()));
    for word in [ROOT, "timestamp", "file://"] {
        assert!(!first.contains(word), "{word}");
    }
}
