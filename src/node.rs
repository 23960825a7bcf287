//! Assembly: what is started in which order, and stopped.
