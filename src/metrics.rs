//! Every counter and gauge by name; handles are passed in, no globals.
