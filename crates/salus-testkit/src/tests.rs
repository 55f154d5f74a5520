use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use crate::{Server, Venv, free_port, program, scratch};

#[test]
fn a_server_dies_with_its_owner() {
    let port = free_port();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let dir = scratch();
    let mut command = Command::new(program("python3", "python3"));
    command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]);
    command.current_dir(dir.path());
    let mut server = Server::spawn(command);
    server.wait_for_port(address, Duration::from_secs(20));
    drop(server);
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
#[should_panic(expected = "no such module")]
fn a_server_that_ends_early_says_what_it_printed() {
    let mut command = Command::new(program("python3", "python3"));
    command.args(["-c", "raise SystemExit('no such module')"]);
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    Server::spawn(command).wait_for_port(address, Duration::from_secs(20));
}

#[test]
#[should_panic(expected = "pin 'hvac'")]
fn packages_are_pinned() {
    let _ = Venv::with(&["hvac"]);
}

#[test]
#[should_panic(expected = "apt-get install no-such-package")]
fn a_missing_program_names_its_package() {
    let _ = program("no-such-program", "no-such-package");
}
