//! Requests inside requests: a broker's Envelope, and what a follower forwards.
