//! Validators as members meet them: in one process, and four of them in processes of their own.

mod alone;
mod network;
mod processes;
