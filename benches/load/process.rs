//! What Linux tells about a process and about the machine.

use std::fs::read_to_string;

/// Ticks of processor time in a second, as Linux counts for every program (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident memory of a process, in MB of a million bytes; not a number where it is not known.
pub(crate) fn resident_mb(pid: u32) -> f64 {
    let status = read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
}

/// Seconds of processor time that a process has used, user and system; not a number where it is not
/// known.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces; behind its parenthesis utime and stime are the 12th and 13th field.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<f64> = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    match ticks[..] {
        [user, system] => (user + system) / TICKS_PER_SECOND,
        _ => f64::NAN,
    }
}

/// The machine, and how busy others kept it.
pub(crate) struct Machine {
    pub(crate) name: String,
    /// Least and most of the load averages seen.
    pub(crate) load: (f64, f64),
}

impl Machine {
    pub(crate) fn look() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cpuinfo = read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("model name"))
            .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
        let load = load_average();
        Self {
            name: format!("{cores} cores {model}"),
            load: (load, load),
        }
    }

    pub(crate) fn look_again(&mut self) {
        let load = load_average();
        self.load = (self.load.0.min(load), self.load.1.max(load));
    }
}

fn load_average() -> f64 {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|it| it.parse().ok()).unwrap_or(f64::NAN)
}
