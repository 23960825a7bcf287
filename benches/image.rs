//! How much memory a million partitions take, and how fast they come and change.
//!
//! `cargo bench --bench image` runs each shape in a process of its own and prints a table. Records
//! are made outside the measured time, in slices, so that they weigh nothing when memory is read.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a benchmark tells the time"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use yakt::ids::{BrokerId, Offset, Stamp, Uuid};
use yakt::image::{Cursor, Image, Kinds};
use yakt::records::{PartitionChangeRecord, PartitionRecord, Record, TopicRecord};

const BROKERS: usize = 100;
const REPLICAS: usize = 3;
/// Records made at a time: few enough to be still in the caches, as after decoding.
const SLICE: usize = 1_000;

/// So many topics of so many partitions each.
struct Shape {
    name: &'static str,
    topics: usize,
    partitions: usize,
    /// Topics arrive in the order of their names, as YAKt's own snapshots have them; else in none,
    /// as in Apache's.
    sorted: bool,
}

const SHAPES: &[Shape] = &[
    Shape {
        name: "1,000 x 1,000",
        topics: 1_000,
        partitions: 1_000,
        sorted: true,
    },
    Shape {
        name: "1,000,000 x 1",
        topics: 1_000_000,
        partitions: 1,
        sorted: true,
    },
    Shape {
        name: "1,000,000 x 1, unsorted",
        topics: 1_000_000,
        partitions: 1,
        sorted: false,
    },
];

fn main() {
    let shape = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse::<usize>().ok());
    if let Some(shape) = shape {
        return measure(&SHAPES[shape]);
    }
    let this = std::env::current_exe().expect("a process knows its file");
    for shape in 0..SHAPES.len() {
        let status = Command::new(&this).arg(shape.to_string()).status();
        assert!(status.is_ok_and(|it| it.success()), "shape {shape} failed");
    }
}

fn measure(shape: &Shape) {
    println!(
        "{} partitions of {REPLICAS} replicas on {BROKERS} brokers",
        shape.name
    );
    let before = resident_mb();
    let (mut image, built, on_cpu) = build(shape);
    let partitions = (shape.topics * shape.partitions) as f64;
    let records = partitions + shape.topics as f64;
    let seconds = built.as_secs_f64();
    println!("  resident         {:8.1} MB", resident_mb() - before);
    println!(
        "  built in         {:8.0} ms: {:.2} M records/s, {:.2} M partitions/s",
        seconds * 1e3,
        records / seconds / 1e6,
        partitions / seconds / 1e6
    );
    println!("  on the processor {:8.0} ms", on_cpu.as_secs_f64() * 1e3);
    clones(&image);
    fence(&mut image);
    scattered(&mut image, shape);
    let start = Instant::now();
    let count = image.records().count();
    println!("  to records       {:8.0} ms: {count} records", ms(start));
    let start = Instant::now();
    let side = image.side_bytes().len();
    println!(
        "  to side bytes    {:8.0} ms: {:.1} MB",
        ms(start),
        side as f64 / 1e6
    );
    let start = Instant::now();
    let scanned = image
        .partitions()
        .filter(|it| it.leader().is_none())
        .count();
    println!(
        "  scan all         {:8.1} ms: {scanned} leaderless",
        ms(start)
    );
    let start = Instant::now();
    drop(image);
    println!("  drop             {:8.1} ms", ms(start));
}

fn build(shape: &Shape) -> (Image, Duration, Duration) {
    let mut image = Image::default();
    let mut took = Duration::ZERO;
    let mut on_cpu = 0;
    let mut offset = 0;
    let mut slice = Vec::with_capacity(SLICE + 1);
    let mut flush = |slice: &mut Vec<Record>| {
        let (start, start_cpu) = (Instant::now(), on_cpu_ns());
        for record in slice.iter() {
            image.apply(record, stamp(offset)).expect("the record fits");
            offset += 1;
        }
        took += start.elapsed();
        on_cpu += on_cpu_ns() - start_cpu;
        slice.clear();
    };
    for topic in 0..shape.topics {
        // An odd multiplier visits every number below a power of ten once.
        let number = if shape.sorted {
            topic
        } else {
            topic * 7_368_787 % shape.topics
        };
        slice.push(
            TopicRecord {
                name: format!("some-topic-of-ours-{number:07}"),
                topic_id: id(number),
            }
            .into(),
        );
        for index in 0..shape.partitions {
            slice.push(partition(number, index).into());
            if slice.len() >= SLICE {
                flush(&mut slice);
            }
        }
    }
    flush(&mut slice);
    (image, took, Duration::from_nanos(on_cpu))
}

fn clones(image: &Image) {
    const TIMES: u32 = 100_000;
    let start = Instant::now();
    for _ in 0..TIMES {
        std::hint::black_box(image.clone());
    }
    println!(
        "  clone            {:8.0} ns",
        start.elapsed().as_nanos() as f64 / f64::from(TIMES)
    );
}

/// Fences a broker while an older image is alive: lists what it is in sync for, then takes it out.
fn fence(image: &mut Image) {
    let (broker, held, since) = (BrokerId(7), image.clone(), image.end_offset() - 1);
    let start = Instant::now();
    let listed: Vec<_> = image
        .in_isr_of(broker, Cursor::default())
        .map(|it| it.next())
        .collect();
    println!(
        "  list for a fence {:8.1} ms: {} partitions",
        ms(start),
        listed.len()
    );
    let mut offset = image.end_offset();
    let mut took = Duration::ZERO;
    let mut cursor = Cursor::default();
    loop {
        let views = image.in_isr_of(broker, cursor).take(SLICE);
        let mut last = cursor;
        let records: Vec<Record> = views
            .map(|view| {
                last = view.next();
                let isr: Vec<_> = view
                    .isr()
                    .iter()
                    .copied()
                    .filter(|it| *it != broker)
                    .collect();
                let leader = if view.leader() == Some(broker) {
                    isr[0].0
                } else {
                    -2
                };
                change(view.topic_id(), view.index(), isr, leader).into()
            })
            .collect();
        if records.is_empty() {
            break;
        }
        let start = Instant::now();
        for record in &records {
            image.apply(record, stamp(offset)).expect("the record fits");
            offset += 1;
        }
        took += start.elapsed();
        cursor = last;
    }
    let each = took.as_nanos() as f64 / listed.len() as f64;
    println!(
        "  edit for it      {:8.1} ms: {each:.0} ns each",
        took.as_secs_f64() * 1e3
    );
    let start = Instant::now();
    let found = image.changes(since, Kinds::ALL).len();
    println!("  changed since    {:8.1} ms: {found} found", ms(start));
    let start = Instant::now();
    let found = image.changes(image.end_offset() - 101, Kinds::ALL).len();
    println!("  the last of them {:8.3} ms: {found} found", ms(start));
    drop(held);
}

/// Changes partitions all over the place, with a clone kept from every hundredth change on.
fn scattered(image: &mut Image, shape: &Shape) {
    const CHANGES: usize = 100_000;
    let all = shape.topics * shape.partitions;
    let first: Offset = image.end_offset();
    let mut took = Duration::ZERO;
    let mut held = image.clone();
    for (offset, n) in (first..).zip(0..CHANGES) {
        let at = n * 7_368_787 % all;
        let (topic, index) = (at / shape.partitions, at % shape.partitions);
        let leader = brokers(topic, index)[1];
        let isr = brokers(topic, index)[1..].to_vec();
        let record = change(id(topic), index as i32, isr, leader.0).into();
        let start = Instant::now();
        image
            .apply(&record, stamp(offset))
            .expect("the record fits");
        if n % 100 == 99 {
            held = image.clone();
        }
        took += start.elapsed();
    }
    drop(held);
    println!(
        "  scattered change {:8.0} ns",
        took.as_nanos() as f64 / CHANGES as f64
    );
}

fn stamp(offset: Offset) -> Stamp {
    Stamp {
        offset,
        time: 1_700_000_000_000 + offset / 1000,
    }
}

fn id(topic: usize) -> Uuid {
    let mixed = (topic as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Uuid::from_u128(mixed)
}

fn brokers(topic: usize, index: usize) -> [BrokerId; REPLICAS] {
    let start = topic * 31 + index;
    std::array::from_fn(|at| BrokerId(((start + at * 7) % BROKERS) as i32))
}

fn partition(topic: usize, index: usize) -> PartitionRecord {
    let replicas = brokers(topic, index).to_vec();
    PartitionRecord {
        partition_id: index as i32,
        topic_id: id(topic),
        leader: replicas[0],
        isr: replicas.clone(),
        leader_epoch: 0,
        partition_epoch: 0,
        directories: replicas
            .iter()
            .map(|it| Uuid::from_u128(1000 + it.0 as u128))
            .collect(),
        replicas,
        ..PartitionRecord::default()
    }
}

fn change(
    topic_id: Uuid,
    partition_id: i32,
    isr: Vec<BrokerId>,
    leader: i32,
) -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id,
        topic_id,
        isr: Some(isr),
        leader,
        ..Default::default()
    }
}

fn ms(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

/// Nanoseconds that this thread was on a processor, as Linux tells it: on a busy machine the wall
/// clock also counts the others' work.
fn on_cpu_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ')
        .next()
        .and_then(|ns| ns.parse().ok())
        .unwrap_or_default()
}

/// Resident memory of this process, in MB, as Linux tells it; 0 elsewhere.
fn resident_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap_or_default();
    let kb: f64 = line
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap_or_default();
    kb * 1024.0 / 1e6
}
