//! Controllers as processes: made, started, killed, by the same properties file for both kinds.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::describe_quorum_response::PartitionData as QuorumState;
use kafka_protocol::messages::{DescribeQuorumRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, ok};

/// The node ids begin here.
const FIRST_ID: usize = 3000;
/// A controller that is not up after this is a failure.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a controller that is not up yet.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// After SIGTERM, before SIGKILL.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// What kafka-server-start.sh gives a controller.
const JVM: &[&str] = &[
    "-Xmx1G",
    "-Xms1G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
];
/// Only what goes wrong is logged: kinder than what Apache ships.
const LOG4J: &str = "Configuration:\n  Appenders:\n    Console: {name: C, PatternLayout: {pattern: \"%d %p %m%n\"}}\n  \
                     Loggers:\n    Root: {level: WARN, AppenderRef: {ref: C}}\n";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Yakt,
    /// Apache's controller with `controller.quorum.append.linger.ms=0`: as quick as it can be set.
    Tuned,
    /// Apache's controller with its defaults.
    Apache,
}

impl Subject {
    /// As the table calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Yakt => "YAKt",
            Self::Tuned => "Apache, linger 0",
            Self::Apache => "Apache, defaults",
        }
    }

    fn properties(self) -> &'static str {
        match self {
            Self::Yakt => "yakt.http.listeners=http://127.0.0.1:0\n",
            Self::Tuned => "controller.quorum.append.linger.ms=0\n",
            Self::Apache => "",
        }
    }
}

/// Where the programs are, and where the data goes.
pub(crate) struct Site {
    yakt: PathBuf,
    kafka_libs: PathBuf,
    work: PathBuf,
}

impl Site {
    pub(crate) fn new(yakt: &Path, kafka_libs: &Path) -> Result<Self> {
        let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
        std::fs::create_dir_all(&work).with_context(|| work.display().to_string())?;
        Ok(Self {
            yakt: yakt.to_owned(),
            kafka_libs: kafka_libs.to_owned(),
            work,
        })
    }

    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    pub(crate) fn has_apache(&self) -> bool {
        self.kafka_libs.is_dir()
    }

    fn java(&self, directory: &Path, main_class: &str, flags: &[&str]) -> Command {
        let mut command = Command::new("java");
        let log4j = format!(
            "-Dlog4j2.configurationFile={}",
            directory.join("log4j2.yaml").display()
        );
        command.args(flags).arg(log4j).arg("-cp");
        command.arg(self.kafka_libs.join("*")).arg(main_class);
        command
    }
}

/// Controllers that form one quorum. Dropping it ends their processes and removes their data.
pub(crate) struct Cluster<'a> {
    site: &'a Site,
    subject: Subject,
    pub(crate) id: String,
    pub(crate) nodes: Vec<Node>,
}

/// One controller.
pub(crate) struct Node {
    id: usize,
    pub(crate) address: String,
    directory: PathBuf,
    process: Option<Child>,
}

impl<'a> Cluster<'a> {
    /// Formats and starts so many controllers, and waits until one of them leads.
    pub(crate) async fn start(site: &'a Site, subject: Subject, nodes: usize) -> Result<Self> {
        let addresses = free_addresses(nodes)?;
        let id = BASE64_URL_SAFE_NO_PAD.encode(uuid::Uuid::new_v4());
        let directory = |node| site.work.join(format!("{id}-{node}"));
        let nodes = addresses
            .into_iter()
            .enumerate()
            .map(|(node, address)| Node {
                id: FIRST_ID + node,
                address,
                directory: directory(node),
                process: None,
            });
        let nodes = nodes.collect();
        let mut cluster = Self {
            site,
            subject,
            id,
            nodes,
        };
        for node in &cluster.nodes {
            cluster.format(node)?;
        }
        for node in 0..cluster.nodes.len() {
            cluster.start_node(node)?;
        }
        cluster.leader().await?;
        Ok(cluster)
    }

    fn format(&self, node: &Node) -> Result<()> {
        let (directory, properties) = (&node.directory, node.properties());
        if directory.exists() {
            std::fs::remove_dir_all(directory)?;
        }
        std::fs::create_dir_all(directory)?;
        std::fs::write(directory.join("log4j2.yaml"), LOG4J)?;
        std::fs::write(&properties, self.properties(node))?;
        let mut command = match self.subject {
            Subject::Yakt => {
                let mut command = Command::new(&self.site.yakt);
                command.arg("format");
                command
            }
            _ => {
                let mut java = self
                    .site
                    .java(directory, "kafka.tools.StorageTool", &["-Xmx256m"]);
                java.arg("format");
                java
            }
        };
        let done = command
            .args(["-t", &self.id, "-c"])
            .arg(&properties)
            .output()?;
        ensure!(
            done.status.success(),
            "format: {}{}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        );
        Ok(())
    }

    fn properties(&self, node: &Node) -> String {
        let voters: Vec<String> = self
            .nodes
            .iter()
            .map(|it| format!("{}@{}", it.id, it.address))
            .collect();
        format!(
            "process.roles=controller\n\
             node.id={}\n\
             controller.quorum.voters={}\n\
             controller.listener.names=CONTROLLER\n\
             listeners=CONTROLLER://{}\n\
             log.dirs={}\n\
             {}",
            node.id,
            voters.join(","),
            node.address,
            node.directory.join("data").display(),
            self.subject.properties()
        )
    }

    /// Starts the process of one node; it is not up yet when this returns.
    pub(crate) fn start_node(&mut self, node: usize) -> Result<()> {
        let node = &mut self.nodes[node];
        let mut command = match self.subject {
            Subject::Yakt => {
                let mut command = Command::new(&self.site.yakt);
                command.arg("run");
                command
            }
            _ => self.site.java(&node.directory, "kafka.Kafka", JVM),
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(node.directory.join("log"))?;
        command.arg(node.properties()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        let child = command.spawn();
        node.process =
            Some(child.with_context(|| format!("cannot start {}", self.subject.name()))?);
        Ok(())
    }

    /// The node that leads, waiting for one if need be.
    pub(crate) async fn leader(&mut self) -> Result<usize> {
        let began = Instant::now();
        while began.elapsed() < START_PATIENCE {
            for at in 0..self.nodes.len() {
                self.nodes[at].ensure_alive()?;
                if let Ok(state) = quorum_state(&self.nodes[at].address).await {
                    let id = state.leader_id.0 as usize;
                    let found = self.nodes.iter().position(|node| node.id == id);
                    return found.with_context(|| format!("node {id} leads, whoever that is"));
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        bail!("nobody leads after {START_PATIENCE:?}")
    }

    /// A connection to the leader.
    pub(crate) async fn connect(&mut self) -> Result<Client> {
        let leader = self.leader().await?;
        Client::connect(&self.nodes[leader].address).await
    }
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    fn properties(&self) -> PathBuf {
        self.directory.join("controller.properties")
    }

    fn ensure_alive(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let Some(status) = process.try_wait()? else {
            return Ok(());
        };
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(3).collect();
        bail!("a controller ended with {status}: {}", last.join(" / "))
    }

    /// Ends the process at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Asks the process to end; it has not when this returns.
    pub(crate) fn terminate(&self) -> Result<()> {
        let process = self.process.as_ref().context("it does not run")?;
        kill_process(Pid::from_child(process), Signal::TERM)?;
        Ok(())
    }

    /// Waits until the process has ended after [`Self::terminate`].
    pub(crate) async fn wait(&mut self) {
        let began = Instant::now();
        while began.elapsed() < STOP_PATIENCE
            && let Some(process) = &mut self.process
            && matches!(process.try_wait(), Ok(None))
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.kill();
    }

    /// Waits until the node answers ApiVersions.
    pub(crate) async fn first_answer(&mut self) -> Result<Client> {
        let began = Instant::now();
        loop {
            match Client::connect(&self.address).await {
                Ok(client) => return Ok(client),
                Err(error) if began.elapsed() > START_PATIENCE => return Err(error),
                Err(_) => self.ensure_alive()?,
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        // What cannot be removed remains in target/bench: nobody else's directory.
        drop(std::fs::remove_dir_all(&self.directory));
    }
}

/// The quorum as this node knows it; only a leader answers.
pub(crate) async fn quorum_state(address: &str) -> Result<QuorumState> {
    let topic = TopicData::default()
        .with_topic_name(TopicName(StrBytes::from_static_str("__cluster_metadata")))
        .with_partitions(vec![PartitionData::default()]);
    let request = DescribeQuorumRequest::default().with_topics(vec![topic]);
    let answer = Client::connect(address).await?.call(&request).await?;
    ok(answer.error_code)?;
    let topic = answer.topics.into_iter().next();
    let state = topic.and_then(|it| it.partitions.into_iter().next());
    let state = state.context("an empty answer to DescribeQuorum")?;
    ok(state.error_code)?;
    ensure!(state.leader_id.0 >= 0, "nobody leads");
    Ok(state)
}

fn free_addresses(count: usize) -> Result<Vec<String>> {
    // All are held at once, so that they differ.
    let held: Result<Vec<_>, _> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect();
    held?
        .iter()
        .map(|it| Ok(it.local_addr()?.to_string()))
        .collect()
}
