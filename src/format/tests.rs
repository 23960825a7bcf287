use super::*;
use crate::ids::parse_base64;

const NOW: Millis = 1_795_396_874_654;

/// Settings of node 1 with two directories `a` (for the metadata) and `b` below `root`.
fn settings(root: &Path, more: &str) -> Settings {
    let text = format!("node.id=1\nlog.dirs={0}/a,{0}/b\n{more}", root.display());
    let given = crate::settings::parse_properties(text.as_bytes()).expect("properties");
    Settings::from_given(given).expect("settings")
}

fn standalone(cluster_id: &str) -> Format {
    Format {
        cluster_id: cluster_id.to_owned(),
        controllers: Controllers::Standalone,
        ..Format::default()
    }
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Formats; the lines come without the path of the root.
fn run(root: &Path, more: &str, ask: &Format) -> Result<Vec<String>, String> {
    let shorten = |text: String| text.replace(&format!("{}/", root.display()), "");
    let lines = format(&settings(root, more), ask, NOW, &Dice::seeded(1));
    lines
        .map(|lines| lines.into_iter().map(shorten).collect())
        .map_err(|error| shorten(format!("{error:#}")))
}

#[test]
fn a_standalone_node() {
    let root = root();
    let lines = run(root.path(), "", &standalone("abc")).expect("formatted");
    assert_eq!(
        lines,
        [
            "Formatting dynamic metadata voter directory a with metadata.version 4.3-IV0.",
            "Formatting data directory b with metadata.version 4.3-IV0.",
        ]
    );
    let meta = Meta::read(&root.path().join("a"))
        .expect("readable")
        .expect("there");
    assert_eq!(
        (meta.cluster_id.as_str(), meta.node_id),
        ("abc", BrokerId(1))
    );
    let voters = checkpoint::read_voters(&root.path().join("a"))
        .expect("readable")
        .expect("there");
    assert_eq!(voters.len(), 1);
    assert_eq!(
        (voters[0].id, voters[0].directory_id),
        (BrokerId(1), meta.directory_id)
    );
    assert_eq!(
        checkpoint::read_voters(&root.path().join("b")).expect("readable"),
        None
    );
    let other = Meta::read(&root.path().join("b"))
        .expect("readable")
        .expect("there");
    assert_ne!(other.directory_id, meta.directory_id);
}

#[test]
fn formatted_directories_are_left_alone() {
    let root = root();
    run(root.path(), "", &standalone("abc")).expect("formatted");
    let again = run(root.path(), "", &standalone("abc")).expect_err("formatted");
    assert_eq!(
        again,
        "Log directory a is already formatted. Use --ignore-formatted to ignore this directory and \
         format the others."
    );
    let ignoring = |id| Format {
        ignore_formatted: true,
        ..standalone(id)
    };
    let lines = run(root.path(), "", &ignoring("abc")).expect("nothing to do");
    assert_eq!(lines, ["All of the log directories are already formatted."]);
    let other = run(root.path(), "", &ignoring("abd")).expect_err("another cluster");
    assert_eq!(
        other,
        "a belongs to cluster abc, but the cluster id given is abd"
    );
    let other = run(root.path(), "node.id=2", &ignoring("abc")).expect_err("another node");
    assert_eq!(other, "a belongs to node 1, but node.id is 2");

    std::fs::remove_dir_all(root.path().join("b")).expect("removed");
    let lines = run(root.path(), "", &ignoring("abc")).expect("formatted");
    assert_eq!(
        lines,
        ["Formatting data directory b with metadata.version 4.3-IV0."]
    );
}

#[test]
fn a_cluster_id_is_text() {
    for wrong in ["", "😀"] {
        let error = run(root().path(), "", &standalone(wrong)).expect_err(wrong);
        assert!(error.starts_with("--cluster-id "), "{error}");
    }
}

#[test]
fn voters_come_from_one_place() {
    let voters = "controller.quorum.voters=1@localhost:9093";
    let configured = Format {
        cluster_id: "abc".to_owned(),
        ..Format::default()
    };
    let lines = run(root().path(), voters, &configured).expect("formatted");
    assert_eq!(
        lines[0],
        "Formatting metadata directory a with metadata.version 4.3-IV0."
    );
    let error = run(root().path(), voters, &standalone("abc")).expect_err("both");
    assert!(
        error.starts_with("controller.quorum.voters is set, so neither"),
        "{error}"
    );
    let error = run(root().path(), "", &configured).expect_err("neither");
    assert!(
        error.starts_with("controller.quorum.voters is not set, so one of"),
        "{error}"
    );
}

#[test]
fn an_initial_controller_takes_the_directory_id_meant_for_it() {
    let id = "JEXY6aqzQY-32P5TStzaFg";
    let text = format!("1@localhost:9093:{id},2@localhost:9094:MvDxzVmcRsaTz33bUuRU6A");
    let ask = Format {
        controllers: Controllers::Initial(text),
        ..standalone("abc")
    };
    let root = root();
    run(root.path(), "", &ask).expect("formatted");
    let meta = Meta::read(&root.path().join("a"))
        .expect("readable")
        .expect("there");
    assert_eq!(Some(meta.directory_id), parse_base64(id));
    let opened = open(&mut settings(root.path(), ""), None, NOW, &Dice::seeded(2)).expect("open");
    assert_eq!(opened.voters.len(), 2);
}

#[test]
fn users_follow_the_features() {
    let user = "SCRAM-SHA-256=[name=alice,password=secret]".to_owned();
    let ask = Format {
        scram: vec![user.clone()],
        ..standalone("abc")
    };
    let root = root();
    run(root.path(), "", &ask).expect("formatted");
    let records = checkpoint::read_bootstrap(&root.path().join("a"))
        .expect("readable")
        .expect("there");
    assert!(
        matches!(records.last(), Some(Record::UserScramCredential(user)) if user.name == "alice")
    );
    let old = Format {
        release_version: Some("3.4".to_owned()),
        scram: vec![user],
        ..standalone("abc")
    };
    let error = run(root.path(), "", &old).expect_err("too old");
    assert!(
        error.contains("SCRAM needs metadata.version 3.5-IV2"),
        "{error}"
    );
}

#[test]
fn a_first_start_formats() {
    let root = root();
    let mut first = settings(root.path(), "");
    let opened = open(&mut first, None, NOW, &Dice::seeded(1)).expect("open");
    assert_eq!(
        (
            opened.records.len(),
            opened.voters.len(),
            opened.lines.len()
        ),
        (6, 1, 2)
    );
    assert_eq!(opened.voters[0].directory_id, first.directory_id);

    let taken =
        open(&mut settings(root.path(), ""), None, NOW, &Dice::seeded(2)).expect_err("locked");
    assert!(taken.to_string().contains("is in use"), "{taken}");
    drop(opened);

    let mut second = settings(root.path(), "");
    let opened = open(&mut second, Some(&first.cluster_id), NOW, &Dice::seeded(3)).expect("open");
    assert_eq!(opened.lines, Vec::<String>::new());
    assert_eq!(
        (second.cluster_id, second.directory_id),
        (first.cluster_id, first.directory_id)
    );
    drop(opened);

    let error = open(
        &mut settings(root.path(), ""),
        Some("other"),
        NOW,
        &Dice::seeded(4),
    )
    .expect_err("other");
    assert!(
        error
            .to_string()
            .ends_with("but the cluster id given is other"),
        "{error}"
    );
}

#[test]
fn several_voters_need_one_cluster_id() {
    let root = root();
    let voters = "controller.quorum.voters=1@localhost:9093,2@localhost:9094";
    let error = open(
        &mut settings(root.path(), voters),
        None,
        NOW,
        &Dice::seeded(1),
    )
    .expect_err("no id");
    let fresh = base64(Dice::seeded(1).uuid()).to_string();
    assert!(
        error
            .to_string()
            .ends_with(&format!("--cluster-id {fresh}")),
        "{error}"
    );
    let mut given = settings(root.path(), voters);
    open(&mut given, Some("abc"), NOW, &Dice::seeded(1)).expect("open");
    assert_eq!(given.cluster_id, "abc");
}

#[test]
fn a_node_that_knows_others_does_not_guess() {
    let others = "controller.quorum.bootstrap.servers=a:9093,b:9093";
    let error = open(
        &mut settings(root().path(), others),
        Some("abc"),
        NOW,
        &Dice::seeded(1),
    )
    .expect_err("unclear");
    assert!(
        error.to_string().contains("names other controllers"),
        "{error}"
    );
    let itself = "controller.quorum.bootstrap.servers=localhost:9093";
    open(
        &mut settings(root().path(), itself),
        None,
        NOW,
        &Dice::seeded(1),
    )
    .expect("alone");
}

#[test]
fn an_apache_controllers_log_is_not_touched() {
    let root = root();
    run(root.path(), "", &standalone("abc")).expect("formatted");
    std::fs::write(
        root.path()
            .join("a/__cluster_metadata-0/00000000000000000000.log"),
        b"x",
    )
    .expect("written");
    let error =
        open(&mut settings(root.path(), ""), None, NOW, &Dice::seeded(1)).expect_err("Apache's");
    assert!(
        error
            .to_string()
            .contains("holds the log of an Apache Kafka controller"),
        "{error}"
    );
}

#[test]
fn info_is_kafkas() {
    let root = root();
    let shorten = |(text, well): (String, bool)| {
        (
            text.replace(&format!("{}/", root.path().display()), ""),
            well,
        )
    };
    let nothing = shorten(info(&settings(root.path(), "")));
    assert_eq!(
        nothing,
        (
            "Found problems:\n  a does not exist\n  b does not exist\n\n".to_owned(),
            false
        )
    );
    run(root.path(), "", &standalone("abc")).expect("formatted");
    let meta = Meta::read(&root.path().join("a"))
        .expect("readable")
        .expect("there");
    let all = shorten(info(&settings(root.path(), "")));
    let id = base64(meta.directory_id);
    let text = format!(
        "Found log directories:\n  a\n  b\n\nFound metadata: {{cluster.id=abc, directory.id={id}, node.id=1, version=1}}\n\n"
    );
    assert_eq!(all, (text, true));
}
