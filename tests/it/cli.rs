//! The command line as a person meets it: what is printed, and with which status.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// The binary, in a directory of its own and with an environment that sets nothing.
fn yakt(directory: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yakt"));
    command
        .args(args)
        .current_dir(directory)
        .env_clear()
        .stdin(Stdio::null());
    command
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs to the end; must fail with status 1 and this sentence alone on standard error.
#[track_caller]
fn refused(directory: &Path, args: &[&str], expected: &str) {
    let output = yakt(directory, args).output().expect("yakt runs");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8(output.stderr).expect("text");
    let path = format!("{}/", directory.display());
    assert_eq!(
        said.replace(&path, "").trim_end(),
        format!("yakt: {expected}")
    );
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[track_caller]
fn printed(output: Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// A node that is up. It is ended when this is dropped.
struct Node {
    process: Child,
    banner: Vec<String>,
}

impl Node {
    fn start(directory: &Path, args: &[&str]) -> Self {
        let mut command = yakt(directory, args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut node = Self {
            process: command.spawn().expect("yakt starts"),
            banner: Vec::new(),
        };
        let lines = BufReader::new(node.process.stdout.take().expect("piped")).lines();
        for line in lines {
            node.banner.push(line.expect("text"));
            if node
                .banner
                .last()
                .is_some_and(|line| line.contains("kafka-storage.sh format"))
            {
                return node;
            }
        }
        let mut said = String::new();
        node.process
            .stderr
            .as_mut()
            .expect("piped")
            .read_to_string(&mut said)
            .expect("text");
        panic!("it did not come up: {said}");
    }

    /// What stands behind this word of the banner.
    fn told(&self, word: &str) -> &str {
        let line = self
            .banner
            .iter()
            .find_map(|line| line.trim().strip_prefix(word));
        line.unwrap_or_else(|| panic!("no {word} in {:?}", self.banner))
            .trim()
    }

    /// Waits until the node is a caught-up member of a live quorum.
    #[expect(
        clippy::disallowed_methods,
        reason = "another process tells us only when asked"
    )]
    fn wait_until_ready(&self) {
        for _ in 0..200 {
            let mut stream = TcpStream::connect(self.told("HTTP")).expect("the listener is up");
            let request = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request).expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("answered");
            if answer.starts_with("HTTP/1.1 200") {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("it does not become ready");
    }

    /// Sends the signal and gives back the status.
    fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.process.id().to_string();
        Command::new("kill")
            .args(["-s", signal, &pid])
            .status()
            .expect("kill runs");
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok(); // it may have ended
        self.process.wait().ok();
    }
}

/// A properties file for one node on ports that the system chooses.
fn properties(directory: &Path, more: &str) {
    let text = format!(
        "node.id=1\nlisteners=CONTROLLER://127.0.0.1:0\nyakt.http.listeners=http://127.0.0.1:0\nlog.dirs=data\n{more}\n"
    );
    std::fs::write(directory.join("node.properties"), text).expect("written");
}

#[test]
fn a_node_starts_tells_where_it_is_and_stops() {
    let directory = directory();
    properties(directory.path(), "");
    let node = Node::start(directory.path(), &["run", "node.properties"]);
    let kafka = node.told("Kafka").to_owned();
    assert!(
        kafka.starts_with("127.0.0.1:") && !kafka.ends_with(":0"),
        "{kafka}"
    );
    assert!(
        node.told("A first broker needs")
            .contains(&format!("bootstrap.servers={kafka}"))
    );
    let cluster = node.told("YAKt node 1 of cluster").replace(" is up.", "");
    assert_eq!(cluster.len(), 22);

    let second = yakt(directory.path(), &["run", "node.properties"])
        .output()
        .expect("yakt runs");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(
        said.starts_with("yakt: data is in use by ") && said.lines().count() == 1,
        "{said}"
    );
    assert_eq!(second.status.code(), Some(1));
    assert_eq!(node.stop("TERM"), Some(0));

    let again = Node::start(
        directory.path(),
        &["run", "node.properties", "--cluster-id", &cluster],
    );
    assert!(again.banner[0].contains(&cluster), "{:?}", again.banner);
    assert_eq!(again.stop("INT"), Some(0));
    refused(
        directory.path(),
        &["run", "node.properties", "--cluster-id", "other"],
        &format!("data belongs to cluster {cluster}, but the cluster id given is other"),
    );
    refused(
        directory.path(),
        &["run", "node.properties", "--override", "node.id=2"],
        "data belongs to node 1, but node.id is 2",
    );
}

#[test]
fn a_taken_port_is_one_sentence() {
    let directory = directory();
    properties(directory.path(), "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    for key in [
        format!("listeners=CONTROLLER://{address}"),
        format!("yakt.http.listeners=http://{address}"),
    ] {
        let output = yakt(
            directory.path(),
            &["run", "node.properties", "--override", &key],
        )
        .output();
        let output = output.expect("yakt runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(
            last.starts_with("yakt: ") && last.contains(&address.to_string()),
            "{said}"
        );
    }
}

#[test]
fn what_is_wrong_stops_the_start() {
    let directory = directory();
    properties(directory.path(), "");
    let run = |more: &str| {
        let wrong = format!("--override={more}");
        yakt(directory.path(), &["run", "node.properties", &wrong])
            .output()
            .expect("yakt runs")
    };
    assert_eq!(run("yakt.http.writes=perhaps").status.code(), Some(1));
    refused(
        directory.path(),
        &[
            "run",
            "node.properties",
            "--override",
            "num.partitions=none",
        ],
        "num.partitions=none: it must be a whole number from 1 to 2147483647",
    );
    refused(
        directory.path(),
        &["run", "missing.properties"],
        "cannot read missing.properties: No such file or directory (os error 2)",
    );
    assert!(
        !directory.path().join("data").exists(),
        "nothing is made before all is checked"
    );
    for wrong in [
        &["run", "--bogus"][..],
        &["format"],
        &["export", "-c", "a", "-o", "b"],
        &["fly"],
    ] {
        let output = yakt(directory.path(), wrong).output().expect("yakt runs");
        assert_eq!(output.status.code(), Some(1), "{wrong:?}");
    }
}

#[test]
fn the_environment_sets_keys() {
    let directory = directory();
    properties(directory.path(), "");
    let mut command = yakt(directory.path(), &["run", "node.properties"]);
    let output = command
        .env("KAFKA_NUM_PARTITIONS", "0")
        .env("YAKT_PORT", "tcp://x")
        .output()
        .expect("yakt runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        said.trim_end(),
        "yakt: num.partitions=0: it must be a whole number from 1 to 2147483647"
    );
}

#[test]
fn help_names_the_commands_and_the_keys() {
    let directory = directory();
    let help = |args: &[&str]| printed(yakt(directory.path(), args).output().expect("yakt runs"));
    for command in ["run", "format", "random-uuid", "info", "export"] {
        assert!(
            help(&["--help"]).contains(&format!("  {command} ")),
            "{command}"
        );
    }
    let run = help(&["run", "--help"]);
    assert!(
        run.contains("yakt.http.listeners (YAKT_HTTP_LISTENERS)"),
        "{run}"
    );
    assert!(help(&["--version"]).starts_with("yakt "));
    assert_eq!(help(&["random-uuid"]).trim_end().len(), 22);
}

#[test]
fn the_store_of_a_stopped_node_is_exported() {
    let directory = directory();
    properties(directory.path(), "");
    let export = |kind| {
        yakt(
            directory.path(),
            &["export", kind, "-c", "node.properties", "-o", "out"],
        )
        .output()
    };
    refused(
        directory.path(),
        &["export", "--log", "-c", "node.properties", "-o", "out"],
        "data is not formatted for node 1",
    );
    let node = Node::start(directory.path(), &["run", "node.properties"]);
    node.wait_until_ready();
    assert_eq!(node.stop("TERM"), Some(0));
    let log = printed(export("--log").expect("yakt runs"));
    assert_eq!(log, "out/00000000000000000000.log\n");
    let snapshot = printed(export("--snapshot").expect("yakt runs"));
    assert!(
        snapshot.starts_with("out/0000") && snapshot.ends_with(".checkpoint\n"),
        "{snapshot}"
    );
    assert_eq!(
        export("--log").expect("yakt runs").status.code(),
        Some(1),
        "the file is there"
    );
}
