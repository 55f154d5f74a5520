//! The collector against a real lake, real disks, a real broker and kill -9.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod collector;
mod crash;
mod disk;
mod folder;
mod http;
mod mqtt;
mod world;
