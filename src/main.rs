//! `yakt`: see README.md.

fn main() {}
