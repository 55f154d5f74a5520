use crate::explorer::answers::{
    BlockDetail, BlockLine, Found, MemberLine, Overview, Statistics, TransactionDetail,
    TransactionLine,
};

/// How many blocks the list keeps.
const MOST_BLOCKS: usize = 500;
const PAGE: usize = 10;
const LONGEST_SEARCH: usize = 128;

/// What a person pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// To the line above.
    Up,
    /// To the line below.
    Down,
    /// Some lines up.
    PageUp,
    /// Some lines down.
    PageDown,
    /// Opens what is selected.
    Enter,
    /// Closes what is open.
    Back,
    /// To the next list.
    Tab,
    /// Takes a letter back.
    Backspace,
    /// A letter.
    Letter(char),
    /// Ends the program.
    Leave,
}

/// What the screen wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Nothing more.
    Leave,
    /// How the ledger is.
    Overview,
    /// The ledger in numbers.
    Statistics,
    /// The latest blocks.
    Blocks,
    /// The members.
    Members,
    /// One block.
    Block(u64),
    /// Transactions by a query such as `method=permits.grant`.
    Transactions(String),
    /// One transaction, with its proof.
    Transaction(String),
    /// What may be meant.
    Search(String),
}

/// Whether a transaction's proof was verified on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It was.
    Verified {
        /// How many validators signed the block.
        votes: usize,
        /// How many hashes lead to what they signed.
        path: usize,
    },
    /// It was not, for this reason.
    None(String),
}

/// What came back.
#[derive(Debug, Clone)]
pub enum Got {
    /// How the ledger is.
    Overview(Overview),
    /// The ledger in numbers.
    Statistics(Statistics),
    /// The latest blocks.
    Blocks(Vec<BlockLine>),
    /// A block that was committed just now.
    NewBlock(BlockLine),
    /// The members.
    Members(Vec<MemberLine>),
    /// One block.
    Block(Box<BlockDetail>),
    /// Transactions by a query.
    Transactions(String, Vec<TransactionLine>),
    /// One transaction.
    Transaction(Box<TransactionDetail>, Proof),
    /// What a search found.
    Found(String, Vec<Found>),
}

/// The lists between which Tab goes round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Blocks,
    Kinds,
    Members,
}

impl Tab {
    pub(super) const ALL: [Self; 3] = [Self::Blocks, Self::Kinds, Self::Members];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Blocks => "Blocks",
            Self::Kinds => "Kinds",
            Self::Members => "Members",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Blocks => Self::Kinds,
            Self::Kinds => Self::Members,
            Self::Members => Self::Blocks,
        }
    }
}

/// What was opened on top of a list; the last is shown.
#[derive(Debug, Clone)]
pub(super) enum Open {
    Block(Box<BlockDetail>),
    Transactions(String, Vec<TransactionLine>),
    Transaction(Box<TransactionDetail>, Proof),
    Found(String, Vec<Found>),
}

/// Something open and the line in it.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub(super) open: Open,
    pub(super) line: usize,
}

/// Everything that is shown.
#[derive(Debug, Clone)]
pub struct Screen {
    pub(super) tab: Tab,
    pub(super) line: usize,
    pub(super) opened: Vec<Opened>,
    pub(super) typing: Option<String>,
    pub(super) told: Option<String>,
    pub(super) overview: Option<Overview>,
    pub(super) statistics: Option<Statistics>,
    pub(super) blocks: Vec<BlockLine>,
    pub(super) members: Vec<MemberLine>,
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

impl Screen {
    /// A screen that knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tab: Tab::Blocks,
            line: 0,
            opened: Vec::new(),
            typing: None,
            told: None,
            overview: None,
            statistics: None,
            blocks: Vec::new(),
            members: Vec::new(),
        }
    }

    /// Takes in what came back.
    pub fn take(&mut self, got: Got) {
        if !matches!(got, Got::NewBlock(_) | Got::Overview(_) | Got::Statistics(_)) {
            self.told = None;
        }
        match got {
            Got::Overview(overview) => self.overview = Some(overview),
            Got::Statistics(statistics) => self.statistics = Some(statistics),
            Got::Blocks(blocks) => self.blocks = blocks,
            Got::NewBlock(block) => self.new_block(block),
            Got::Members(members) => self.members = members,
            Got::Block(block) => self.open(Open::Block(block)),
            Got::Transactions(filter, lines) => self.open(Open::Transactions(filter, lines)),
            Got::Transaction(detail, proof) => self.open(Open::Transaction(detail, proof)),
            Got::Found(typed, found) => self.open(Open::Found(typed, found)),
        }
    }

    /// Tells a problem on the last line.
    pub fn tell(&mut self, problem: String) {
        self.told = Some(problem);
    }

    fn new_block(&mut self, block: BlockLine) {
        if self.told.as_deref().is_some_and(|told| told.starts_with("the tail")) {
            self.told = None;
        }
        if self.blocks.first().is_some_and(|newest| newest.height >= block.height) {
            return;
        }
        // Whoever reads an older block keeps it under the cursor.
        if self.tab == Tab::Blocks && self.line > 0 {
            self.line += 1;
        }
        self.blocks.insert(0, block);
        self.blocks.truncate(MOST_BLOCKS);
        self.line = self.line.min(self.length_of_list().saturating_sub(1));
    }

    fn open(&mut self, open: Open) {
        self.opened.push(Opened { open, line: 0 });
    }

    /// Does what a key means, and gives what has to be asked for.
    pub fn press(&mut self, key: Key) -> Option<Ask> {
        if key == Key::Leave {
            return Some(Ask::Leave);
        }
        if self.typing.is_some() {
            return self.typed(key);
        }
        match key {
            Key::Up => self.go(-1),
            Key::Down => self.go(1),
            Key::PageUp => self.go(-(PAGE as isize)),
            Key::PageDown => self.go(PAGE as isize),
            Key::Tab => {
                self.opened.clear();
                (self.tab, self.line) = (self.tab.next(), 0);
            }
            Key::Back => drop(self.opened.pop()),
            Key::Enter => return self.selected(),
            Key::Letter('/') => self.typing = Some(String::new()),
            Key::Letter('q') => return Some(Ask::Leave),
            _ => {}
        }
        None
    }

    fn typed(&mut self, key: Key) -> Option<Ask> {
        let typing = self.typing.as_mut()?;
        match key {
            Key::Letter(letter) if typing.len() < LONGEST_SEARCH => typing.push(letter),
            Key::Backspace => drop(typing.pop()),
            Key::Back => self.typing = None,
            Key::Enter => {
                let typed = self.typing.take().unwrap_or_default();
                return (!typed.trim().is_empty()).then_some(Ask::Search(typed));
            }
            _ => {}
        }
        None
    }

    fn length_of_list(&self) -> usize {
        match self.tab {
            Tab::Blocks => self.blocks.len(),
            Tab::Kinds => self.statistics.as_ref().map_or(0, |numbers| numbers.kinds.len()),
            Tab::Members => self.members.len(),
        }
    }

    fn go(&mut self, steps: isize) {
        let list = self.length_of_list();
        let (line, length) = match self.opened.last_mut() {
            Some(opened) => {
                let length = match &opened.open {
                    Open::Block(block) => block.transactions.len(),
                    Open::Transactions(_, lines) => lines.len(),
                    Open::Found(_, found) => found.len(),
                    // Text that scrolls: the drawing holds it at its end.
                    Open::Transaction(..) => usize::MAX,
                };
                (&mut opened.line, length)
            }
            None => (&mut self.line, list),
        };
        *line = line.saturating_add_signed(steps).min(length.saturating_sub(1));
    }

    fn selected(&self) -> Option<Ask> {
        match self.opened.last() {
            Some(Opened { open: Open::Block(block), line }) => {
                block.transactions.get(*line).map(|line| Ask::Transaction(line.id.clone()))
            }
            Some(Opened { open: Open::Transactions(_, lines), line }) => {
                lines.get(*line).map(|line| Ask::Transaction(line.id.clone()))
            }
            Some(Opened { open: Open::Found(_, found), line }) => found.get(*line).and_then(of),
            Some(Opened { open: Open::Transaction(..), .. }) => None,
            None => match self.tab {
                Tab::Blocks => self.blocks.get(self.line).map(|line| Ask::Block(line.height)),
                Tab::Kinds => {
                    let kinds = &self.statistics.as_ref()?.kinds;
                    let kind = kinds.get(self.line)?;
                    Some(Ask::Transactions(format!("method={}", kind.name)))
                }
                Tab::Members => {
                    let member = self.members.get(self.line)?;
                    Some(Ask::Transactions(format!("member={}", member.id)))
                }
            },
        }
    }
}

/// What opens for something that was found.
fn of(found: &Found) -> Option<Ask> {
    match found.kind.as_str() {
        "block" => found.id.parse().ok().map(Ask::Block),
        "transaction" => Some(Ask::Transaction(found.id.clone())),
        "permit" => Some(Ask::Transactions(format!("permit={}", found.id))),
        "member" => Some(Ask::Transactions(format!("member={}", found.id))),
        "dataset" => Some(Ask::Transactions(format!("dataset={}", found.id))),
        // A receipt's id has the first half of its transaction's.
        "receipt" => found.id.rsplit_once('-').map(|(_, half)| Ask::Search(half.to_owned())),
        _ => None,
    }
}
