//! The explorer in a terminal: the latest blocks, kinds, members, and one transaction with its
//! proof verified on this machine.
//!
//! [`run`] takes the terminal over until `q`. What is shown and what a key does is decided in
//! [`Screen`], which knows no terminal and no network.

mod draw;
mod screen;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use futures::StreamExt as _;
use ratatui::Terminal;
use ratatui::backend::TermionBackend;
use salus_ledger::TxId;
use salus_model::{Class, Classified};
use termion::event::Key as Pressed;
use termion::input::TermRead as _;
use termion::raw::IntoRawMode as _;
use termion::screen::IntoAlternateScreen as _;
use tokio::sync::mpsc;

pub use draw::draw;
pub use screen::{Ask, Got, Key, Proof, Screen};

use super::client::{ExplorerClient, ExplorerError};
use crate::client::LedgerClient;

/// How long the tail waits before it connects again.
const AGAIN: Duration = Duration::from_secs(2);

/// Why the terminal shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum TerminalError {
    /// Input or output is a file or a pipe.
    #[error("the explorer needs a terminal for input and output; programs read /v1/explorer")]
    NoTerminal,
    /// The terminal failed.
    #[error("the terminal cannot be used")]
    Io(#[from] io::Error),
    /// The validator gave no first answer.
    #[error("the ledger cannot be explored")]
    Explorer(#[from] ExplorerError),
}

impl Classified for TerminalError {
    fn class(&self) -> Class {
        match self {
            Self::NoTerminal => Class::BadRequest,
            Self::Io(_) => Class::Unavailable,
            Self::Explorer(error) => error.class(),
        }
    }
}

/// What happens to the screen.
enum Event {
    Key(Key),
    Got(Box<Got>),
    Failed(String),
}

/// Shows the ledger until the person leaves. `ledger` verifies what one transaction's page says.
///
/// # Errors
/// When there is no terminal, it fails, or the validator gives no first answer.
pub async fn run(explorer: ExplorerClient, ledger: LedgerClient) -> Result<(), TerminalError> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(TerminalError::NoTerminal);
    }
    let overview = explorer.overview().await?;
    let after = overview.height;
    let mut screen = Screen::new();
    screen.take(Got::Overview(overview));
    let (send, mut events) = mpsc::channel(64);
    listen(send.clone());
    let tail = tokio::spawn(follow(explorer.clone(), after, send.clone()));
    let asker = Asker { explorer, ledger: std::sync::Arc::new(ledger), send };
    let screen_of_its_own = io::stdout().into_raw_mode()?.into_alternate_screen()?;
    let mut terminal = Terminal::new(TermionBackend::new(screen_of_its_own))?;
    terminal.hide_cursor()?;
    for ask in [Ask::Blocks, Ask::Statistics, Ask::Members] {
        asker.ask(ask);
    }
    loop {
        terminal.draw(|frame| draw(frame, &mut screen))?;
        let Some(event) = events.recv().await else { break };
        match event {
            Event::Key(key) => match screen.press(key) {
                Some(Ask::Leave) => break,
                Some(ask) => asker.ask(ask),
                None => {}
            },
            Event::Got(got) => {
                if matches!(*got, Got::NewBlock(_)) {
                    asker.ask(Ask::Overview);
                    asker.ask(Ask::Statistics);
                }
                screen.take(*got);
            }
            Event::Failed(problem) => screen.tell(problem),
        }
    }
    tail.abort();
    terminal.show_cursor()?;
    Ok(())
}

/// Reads keys on a thread of its own, which ends with the program: reading cannot be interrupted.
fn listen(send: mpsc::Sender<Event>) {
    std::thread::spawn(move || {
        for key in io::stdin().keys() {
            let Ok(Some(key)) = key.map(known) else { continue };
            if send.blocking_send(Event::Key(key)).is_err() {
                break;
            }
        }
    });
}

const fn known(key: Pressed) -> Option<Key> {
    match key {
        Pressed::Up => Some(Key::Up),
        Pressed::Down => Some(Key::Down),
        Pressed::PageUp => Some(Key::PageUp),
        Pressed::PageDown => Some(Key::PageDown),
        Pressed::Esc | Pressed::Left => Some(Key::Back),
        Pressed::Char('\n') | Pressed::Right => Some(Key::Enter),
        Pressed::Char('\t') => Some(Key::Tab),
        Pressed::Backspace => Some(Key::Backspace),
        Pressed::Ctrl('c') => Some(Key::Leave),
        Pressed::Char(letter) => Some(Key::Letter(letter)),
        _ => None,
    }
}

async fn follow(explorer: ExplorerClient, mut after: u64, send: mpsc::Sender<Event>) {
    loop {
        if let Ok(tail) = explorer.tail(after).await {
            let mut tail = std::pin::pin!(tail);
            while let Some(line) = tail.next().await {
                after = line.height;
                if send.send(Event::Got(Box::new(Got::NewBlock(line)))).await.is_err() {
                    return;
                }
            }
        }
        let told = Event::Failed("the tail is interrupted; trying again".into());
        if send.send(told).await.is_err() {
            return;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Asks in the background, so that the screen never waits.
struct Asker {
    explorer: ExplorerClient,
    ledger: std::sync::Arc<LedgerClient>,
    send: mpsc::Sender<Event>,
}

impl Asker {
    fn ask(&self, ask: Ask) {
        let (explorer, send) = (self.explorer.clone(), self.send.clone());
        let ledger = std::sync::Arc::clone(&self.ledger);
        tokio::spawn(async move {
            let event = match answer(&explorer, &ledger, ask).await {
                Ok(Some(got)) => Event::Got(Box::new(got)),
                Ok(None) => return,
                Err(error) => Event::Failed(error.to_string()),
            };
            let _ = send.send(event).await;
        });
    }
}

async fn answer(
    explorer: &ExplorerClient,
    ledger: &LedgerClient,
    ask: Ask,
) -> Result<Option<Got>, ExplorerError> {
    Ok(Some(match ask {
        Ask::Leave => return Ok(None),
        Ask::Overview => Got::Overview(explorer.overview().await?),
        Ask::Statistics => Got::Statistics(explorer.statistics().await?),
        Ask::Blocks => Got::Blocks(explorer.blocks(100).await?.items),
        Ask::Members => Got::Members(explorer.members().await?.items),
        Ask::Block(height) => Got::Block(Box::new(explorer.block(height).await?)),
        Ask::Transactions(filter) => {
            let page = explorer.transactions(&format!("{filter}&limit=100")).await?;
            Got::Transactions(filter, page.items)
        }
        Ask::Transaction(id) => {
            let detail = explorer.transaction(&id).await?;
            Got::Transaction(Box::new(detail), proved(ledger, &id).await)
        }
        Ask::Search(typed) => {
            let found = explorer.search(&typed).await?;
            Got::Found(typed, found.items)
        }
    }))
}

/// Whether the votes and the Merkle path of a transaction hold, by the genesis at hand alone.
async fn proved(ledger: &LedgerClient, id: &str) -> Proof {
    let id = hex::decode(id).ok().and_then(|bytes| TxId::try_from(bytes.as_slice()).ok());
    let Some(id) = id else { return Proof::None("the id is none".into()) };
    match ledger.recorded(&id).await {
        Ok(recorded) => {
            let votes = recorded.proof.block.finality.certificate.votes.len();
            Proof::Verified { votes, path: recorded.proof.path.len() }
        }
        Err(error) => Proof::None(error.to_string()),
    }
}
