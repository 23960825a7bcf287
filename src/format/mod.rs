//! What stands in a data directory before the first start: `kafka-storage format`, file for file.
//!
//! Every log directory gets `bootstrap.checkpoint` and `meta.properties`; the metadata directory gets
//! the voters' snapshot as well, where the way of formatting names voters. `meta.properties` comes
//! last and says that the directory is whole. The other way round, [`open`] is what a start reads:
//! who this node is, and what its first leader writes into the empty log.
//!
//! Nothing here knows of the store: it lives beside these files.

pub mod checkpoint;
pub mod disk;
pub mod features;
pub mod meta;
pub mod scram;
pub mod voters;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

use crate::clock::Dice;
use crate::ids::{BrokerId, Endpoint, Millis, Uuid, Voter, base64};
use crate::records::{FeatureLevelRecord, Record};
use crate::rules::features::{METADATA_VERSION, METADATA_VERSION_MAX, gate};
use crate::settings::Settings;
use disk::LockedDirectory;
use features::Levels;
use meta::Meta;

/// Which voters a new quorum begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Controllers {
    /// Those of `controller.quorum.voters`.
    #[default]
    Configured,
    /// `--standalone`: this node alone.
    Standalone,
    /// `--initial-controllers`: these, each as id@host:port:directory-id.
    Initial(String),
    /// `--no-initial-controllers`: none; the node joins a quorum that is there.
    None,
}

/// What is asked for on the command line.
#[derive(Clone, Debug, Default)]
pub struct Format {
    /// `--cluster-id`: an arbitrary text, the same for all nodes.
    pub cluster_id: String,
    /// Which voters the quorum begins with.
    pub controllers: Controllers,
    /// `--release-version`.
    pub release_version: Option<String>,
    /// `--feature name=level`, each.
    pub features: Vec<String>,
    /// `--add-scram`, each.
    pub scram: Vec<String>,
    /// `--ignore-formatted`: leave formatted directories as they are.
    pub ignore_formatted: bool,
}

/// Formats the directories of these settings. Gives back the lines that tell people about it.
/// All that can be checked is checked before anything is written (`Formatter.run`, 4.3.1).
pub fn format(
    settings: &Settings,
    ask: &Format,
    now: Millis,
    dice: &Dice,
) -> anyhow::Result<Vec<String>> {
    ensure!(
        meta::is_cluster_id(&ask.cluster_id),
        "--cluster-id {:?}: it must be text, for example what yakt random-uuid prints",
        ask.cluster_id
    );
    let directory_id = dice.uuid();
    let voters = initial_voters(settings, &ask.controllers, directory_id)?;
    let kraft_version = i16::from(settings.controller_quorum_voters.is_empty());
    let levels = Levels::choose(ask.release_version.as_deref(), &ask.features, kraft_version)?;
    let mut records = levels.records();
    for option in &ask.scram {
        ensure!(
            levels.metadata_version >= gate::SCRAM,
            "--add-scram: SCRAM needs metadata.version 3.5-IV2 or later, but this is {}",
            levels.version_name()
        );
        records.push(scram::parse(option, dice)?.into());
    }
    let empty = empty_directories(settings, ask)?;
    if empty.is_empty() {
        return Ok(vec![
            "All of the log directories are already formatted.".to_owned(),
        ]);
    }
    let bootstrap = checkpoint::bootstrap(&records, levels.metadata_version, now)?;
    let mut lines = Vec::new();
    for directory in &empty {
        let is_metadata = *directory == settings.metadata_log_dir;
        disk::create_directory(directory)?;
        disk::write_durably(&directory.join(checkpoint::BOOTSTRAP_FILE), &bootstrap)?;
        if let Some(voters) = voters.as_deref().filter(|_| is_metadata) {
            let log = directory.join(checkpoint::LOG_DIRECTORY);
            disk::create_directory(&log)?;
            disk::write_durably(
                &log.join(checkpoint::VOTERS_FILE),
                &checkpoint::voters(voters, now)?,
            )?;
        }
        let own = voters
            .iter()
            .flatten()
            .find(|voter| voter.id == settings.node_id);
        let directory_id = if is_metadata {
            own.map_or(directory_id, |own| own.directory_id)
        } else {
            dice.uuid()
        };
        let cluster_id = ask.cluster_id.clone();
        Meta {
            cluster_id,
            node_id: settings.node_id,
            directory_id,
        }
        .write(directory, now)?;
        lines.push(formatting_line(
            directory,
            is_metadata,
            voters.is_some(),
            &levels,
        ));
    }
    Ok(lines)
}

fn formatting_line(
    directory: &Path,
    is_metadata: bool,
    has_voters: bool,
    levels: &Levels,
) -> String {
    let kind = match (is_metadata, has_voters) {
        (true, true) => "dynamic metadata voter directory",
        (true, false) => "metadata directory",
        (false, _) => "data directory",
    };
    format!(
        "Formatting {kind} {} with metadata.version {}.",
        directory.display(),
        levels.version_name()
    )
}

/// The voters that go into the snapshot at offset 0; `None`: no such snapshot.
fn initial_voters(
    settings: &Settings,
    controllers: &Controllers,
    directory_id: Uuid,
) -> anyhow::Result<Option<Vec<Voter>>> {
    let configured = !settings.controller_quorum_voters.is_empty();
    match controllers {
        Controllers::Standalone | Controllers::Initial(_) if configured => bail!(
            "controller.quorum.voters is set, so neither --standalone nor --initial-controllers may be; \
             for voters that can change set controller.quorum.bootstrap.servers instead"
        ),
        Controllers::Configured if !configured => bail!(
            "controller.quorum.voters is not set, so one of --standalone, --initial-controllers and \
             --no-initial-controllers must be"
        ),
        Controllers::Configured | Controllers::None => Ok(None),
        Controllers::Standalone => Ok(Some(vec![this_voter(settings, directory_id)])),
        Controllers::Initial(text) => {
            voters::parse(text, &settings.controller_listener_names[0]).map(Some)
        }
    }
}

fn this_voter(settings: &Settings, directory_id: Uuid) -> Voter {
    let mut endpoint: Endpoint = settings.controller_endpoint().clone();
    if endpoint.host.is_empty() {
        endpoint.host = "localhost".to_owned();
    }
    Voter {
        id: settings.node_id,
        directory_id,
        endpoints: vec![endpoint],
    }
}

fn directories(settings: &Settings) -> BTreeSet<PathBuf> {
    settings
        .log_dirs
        .iter()
        .chain([&settings.metadata_log_dir])
        .cloned()
        .collect()
}

/// The directories that are to be formatted. Those that are already must belong to the same node.
fn empty_directories(settings: &Settings, ask: &Format) -> anyhow::Result<Vec<PathBuf>> {
    let mut empty = Vec::new();
    for directory in directories(settings) {
        match Meta::read(&directory)? {
            None => empty.push(directory),
            Some(meta) => {
                check_owner(&directory, &meta, Some(&ask.cluster_id), settings.node_id)?;
                ensure!(
                    ask.ignore_formatted,
                    "Log directory {} is already formatted. Use --ignore-formatted to ignore this \
                     directory and format the others.",
                    directory.display()
                );
            }
        }
    }
    Ok(empty)
}

fn check_owner(
    directory: &Path,
    meta: &Meta,
    cluster_id: Option<&str>,
    node_id: BrokerId,
) -> anyhow::Result<()> {
    if let Some(wanted) = cluster_id.filter(|wanted| *wanted != meta.cluster_id) {
        bail!(
            "{} belongs to cluster {}, but the cluster id given is {wanted}",
            directory.display(),
            meta.cluster_id
        );
    }
    ensure!(
        meta.node_id == node_id,
        "{} belongs to node {}, but node.id is {}",
        directory.display(),
        meta.node_id.0,
        node_id.0
    );
    Ok(())
}

/// What a start finds in its directories.
#[derive(Debug)]
pub struct Opened {
    /// Keeps other processes out for as long as it lives.
    pub lock: LockedDirectory,
    /// What the first leader writes into the empty log: feature levels first, then SCRAM users.
    pub records: Vec<Record>,
    /// The voters of the snapshot at offset 0; empty where they come from
    /// `controller.quorum.voters`, or where this node is to join a quorum that is there.
    pub voters: Vec<Voter>,
    /// Lines about a formatting that happened on the way.
    pub lines: Vec<String>,
}

/// Takes the metadata directory for this process, formats it if that has not happened yet, and
/// completes the settings by cluster id and directory id.
///
/// `cluster_id` is the one given for this start; a directory of another cluster is refused.
pub fn open(
    settings: &mut Settings,
    cluster_id: Option<&str>,
    now: Millis,
    dice: &Dice,
) -> anyhow::Result<Opened> {
    let directory = settings.metadata_log_dir.clone();
    let lock = LockedDirectory::take(&directory)?;
    let mut lines = Vec::new();
    if Meta::read(&directory)?.is_none() {
        let ask = first_start(settings, cluster_id, dice)?;
        lines = format(settings, &ask, now, dice)?;
    }
    for other in directories(settings) {
        if let Some(meta) = Meta::read(&other)? {
            check_owner(&other, &meta, cluster_id, settings.node_id)?;
        }
    }
    let mut meta = Meta::read(&directory)?.context("format has just written it")?;
    if meta.directory_id.is_nil() {
        meta.directory_id = dice.uuid();
        meta.write(&directory, now)?;
    }
    refuse_apaches_log(&directory)?;
    settings.cluster_id = meta.cluster_id;
    settings.directory_id = meta.directory_id;
    let records = checkpoint::read_bootstrap(&directory)?.unwrap_or_else(default_records);
    let voters = checkpoint::read_voters(&directory)?.unwrap_or_default();
    Ok(Opened {
        lock,
        records,
        voters,
        lines,
    })
}

/// Without a bootstrap.checkpoint Kafka begins on the newest metadata.version alone.
fn default_records() -> Vec<Record> {
    let level = FeatureLevelRecord {
        name: METADATA_VERSION.to_owned(),
        feature_level: METADATA_VERSION_MAX,
    };
    vec![level.into()]
}

/// How an unformatted directory is formatted by `yakt run`. Several voters need one cluster id, and
/// a node that knows others by bootstrap servers alone cannot know whether it may vote.
fn first_start(
    settings: &Settings,
    cluster_id: Option<&str>,
    dice: &Dice,
) -> anyhow::Result<Format> {
    let directory = settings.metadata_log_dir.display();
    let voters = settings.controller_quorum_voters.len();
    let controllers = if voters > 0 {
        Controllers::Configured
    } else {
        Controllers::Standalone
    };
    ensure!(
        voters > 0 || knows_only_itself(settings),
        "{directory} is not formatted, and controller.quorum.bootstrap.servers names other controllers: \
         format it with yakt format --initial-controllers ... for a new quorum, or \
         --no-initial-controllers to join theirs"
    );
    let cluster_id = match cluster_id {
        Some(id) => id.to_owned(),
        None if voters <= 1 => base64(dice.uuid()).to_string(),
        None => bail!(
            "{directory} is not formatted, and all {voters} voters need the same cluster id: start each \
             with, for example, --cluster-id {}",
            base64(dice.uuid())
        ),
    };
    Ok(Format {
        cluster_id,
        controllers,
        ..Format::default()
    })
}

fn knows_only_itself(settings: &Settings) -> bool {
    let own: Vec<u16> = settings
        .listeners
        .iter()
        .chain(&settings.advertised_listeners)
        .map(|own| own.port)
        .collect();
    match settings.controller_quorum_bootstrap_servers.as_slice() {
        [] => true,
        [(_, port)] => own.contains(port),
        _ => false,
    }
}

/// The directory of an Apache controller that has run holds a log that YAKt cannot go on with.
fn refuse_apaches_log(directory: &Path) -> anyhow::Result<()> {
    let log = directory.join(checkpoint::LOG_DIRECTORY);
    let Ok(entries) = std::fs::read_dir(&log) else {
        return Ok(());
    };
    let is_segment = |name: &std::ffi::OsStr| {
        Path::new(name)
            .extension()
            .is_some_and(|kind| kind == "log")
    };
    let found = entries
        .flatten()
        .any(|entry| is_segment(&entry.file_name()));
    ensure!(
        !found,
        "{} holds the log of an Apache Kafka controller; give YAKt a directory of its own",
        log.display()
    );
    Ok(())
}

/// What `kafka-storage info` prints, and whether all is well.
pub fn info(settings: &Settings) -> (String, bool) {
    let (mut found, mut problems, mut metas) = (Vec::new(), Vec::new(), Vec::new());
    for directory in directories(settings) {
        let shown = directory.display().to_string();
        match Meta::read(&directory) {
            _ if !directory.exists() => problems.push(format!("{shown} does not exist")),
            Ok(None) => {
                problems.push(format!("{shown} is not formatted."));
                found.push(shown);
            }
            Ok(Some(meta)) => {
                found.push(shown);
                metas.push((directory, meta));
            }
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
    for (directory, meta) in &metas {
        let first = &metas[0].1.cluster_id;
        if let Err(error) = check_owner(directory, meta, Some(first), settings.node_id) {
            problems.push(error.to_string());
        }
    }
    let mut text = String::new();
    text += &section(&found, "Found log directory:", "Found log directories:");
    if let Some((_, meta)) = metas.first() {
        text += &format!("Found metadata: {meta}\n\n");
    }
    text += &section(&problems, "Found problem:", "Found problems:");
    (text, problems.is_empty())
}

fn section(entries: &[String], one: &str, several: &str) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let title = if entries.len() == 1 { one } else { several };
    let entries: String = entries.iter().map(|entry| format!("  {entry}\n")).collect();
    format!("{title}\n{entries}\n")
}

#[cfg(test)]
mod tests;
