//! Channels over the network: a validator with the ledgers of some members among themselves beside
//! the ledger on which they met.
//!
//! A channel is a whole ledger with its own genesis, members, database, consensus engine, ports and
//! API. Two ledgers of one process share nothing but the process: no table, no port, no message
//! (the engine signs and encrypts under the ledger's id), and no client that is a member of one
//! only is let into the other.
//!
//! The founders draft a genesis, each of them agrees to it with a key of the parent ledger
//! ([`Charter`]), and each operator lays out a folder for it with [`join`]. Nothing of this is
//! written to the parent ledger. A running validator takes the channel up by itself, once it has
//! verified the charter against the parent's state.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use salus_crypto::passphrase::{GuessCost, Passphrase};
use salus_ledger::call::AdmitMember;
use salus_ledger::channel::{Charter, CharterError};
use salus_ledger::config::{ConfigError, PlatformConfig, Validator as Seat};
use salus_ledger::contract::Contract;
use salus_ledger::genesis::Genesis;
use salus_ledger::policy::Role;
use salus_ledger::{LedgerId, Nonce};
use salus_model::{Class, Classified, Entropy, MemberId, Timestamp};

use crate::clock;
use crate::folder::{Folder, FolderError, ValidatorConfig};
use crate::store::StoreError;
use crate::validator::{StartError, Validator};

const CHARTER: &str = "charter.cbor";

/// Why a channel is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// A file cannot be used.
    #[error("the channel's folder cannot be used")]
    Folder(#[from] FolderError),
    /// The charter founds none.
    #[error("the channel's charter does not count")]
    Charter(#[from] CharterError),
    /// The parent ledger cannot be read.
    #[error("the parent ledger cannot be read")]
    Parent(#[from] StoreError),
    /// Somebody is drafted twice.
    #[error("{0} is drafted twice: by name and by its request")]
    Twice(MemberId),
    /// Its validator does not start.
    #[error("the channel's validator does not start")]
    Start(#[from] StartError),
    /// The draft is no configuration.
    #[error("the channel would have no valid configuration")]
    Config(#[from] ConfigError),
    /// Somebody is no member of the parent's genesis.
    #[error(
        "{0} is not among the members of the parent ledger's genesis; name its request for admission as well"
    )]
    NoMember(MemberId),
    /// The folder has a charter of another channel than its genesis begins.
    #[error("the channel's folder has the charter of one channel and the genesis of another")]
    OtherGenesis,
}

impl Classified for ChannelError {
    fn class(&self) -> Class {
        match self {
            Self::Folder(error) => error.class(),
            Self::Charter(error) => error.class(),
            Self::Parent(error) => error.class(),
            Self::Start(error) => error.class(),
            Self::Config(_) | Self::NoMember(_) | Self::Twice(_) => Class::BadRequest,
            Self::OtherGenesis => Class::Corrupt,
        }
    }
}

/// The seats among the validators that an organisation's request for admission asks for.
pub fn seats(request: &AdmitMember) -> impl Iterator<Item = Seat> {
    let validates = |key: &&salus_ledger::call::MemberKey| key.roles.contains(&Role::Validator);
    let seat =
        |key: &salus_ledger::call::MemberKey| Seat { member: request.member.clone(), key: key.key };
    request.keys.iter().filter(validates).map(seat)
}

/// Drafts a channel under the parent's rules: of some of the parent's first members, and of members
/// that came later, by the requests with which they were admitted. Those of them that validate the
/// parent, or ask to, validate the channel.
///
/// # Errors
/// When somebody is no first member of the parent or is drafted twice, or nobody validates.
pub fn draft(
    parent: &Genesis,
    members: &BTreeSet<MemberId>,
    later: Vec<AdmitMember>,
    time: Timestamp,
    nonce: Nonce,
) -> Result<Genesis, ChannelError> {
    let is_known = |id: &&MemberId| parent.members.iter().any(|known| known.member == **id);
    if let Some(stranger) = members.iter().find(|id| !is_known(id)) {
        return Err(ChannelError::NoMember(stranger.clone()));
    }
    let mut form = parent.config.form().clone();
    form.version = 0;
    form.validators.retain(|validator| members.contains(&validator.member));
    form.validators.extend(later.iter().flat_map(seats));
    let first = parent.members.iter().filter(|known| members.contains(&known.member)).cloned();
    let admitted: Vec<AdmitMember> = first.chain(later).collect();
    let mut drafted = BTreeSet::new();
    if let Some(twice) = admitted.iter().find(|request| !drafted.insert(&request.member)) {
        return Err(ChannelError::Twice(twice.member.clone()));
    }
    Ok(Genesis {
        nonce,
        kind: parent.kind,
        time,
        config: PlatformConfig::new(form)?,
        members: admitted,
        contracts: Contract::newest_rules(),
    })
}

fn folder_of(parent: &Folder, channel: &LedgerId) -> Folder {
    Folder::at(parent.path().join("channels").join(channel.to_string()))
}

/// Lays out the folder of a channel inside a validator's: the same keys and certificate, ports and
/// peers of its own. The running validator takes it up within seconds.
///
/// # Errors
/// When a file cannot be written, or the passphrase is another.
pub fn join(
    parent: &Folder,
    charter: &Charter,
    config: &ValidatorConfig,
    passphrase: &Passphrase,
    cost: GuessCost,
    entropy: &mut dyn Entropy,
) -> Result<Folder, ChannelError> {
    let channel = charter.genesis.ledger_id().map_err(CharterError::from)?;
    let folder = folder_of(parent, &channel);
    let identity = parent.open(passphrase)?;
    folder.create(config, &identity, &charter.genesis, passphrase, cost, entropy)?;
    // Last: a folder without a charter is one that is still being laid out.
    folder.write(CHARTER, &charter.to_bytes()?)?;
    Ok(folder)
}

/// A validator of a ledger with those of its channels. It keeps the passphrase for channels that
/// are joined later.
#[derive(Debug)]
pub struct Host {
    folder: Folder,
    passphrase: Passphrase,
    main: Validator,
    channels: BTreeMap<PathBuf, (LedgerId, Validator)>,
    /// Folders that were refused; they are looked at again after a restart.
    refused: BTreeSet<PathBuf>,
}

impl Host {
    /// Starts the validator of a folder and those of the channels in it. A channel that does not
    /// start is logged, and stops nothing else.
    ///
    /// # Errors
    /// When the validator itself does not start.
    pub fn start(folder: &Folder, passphrase: Passphrase) -> Result<Self, StartError> {
        let main = Validator::start(folder, &passphrase)?;
        let (channels, refused) = (BTreeMap::new(), BTreeSet::new());
        let mut host = Self { folder: folder.clone(), passphrase, main, channels, refused };
        host.take_up_channels();
        Ok(host)
    }

    /// The ledger on which the channels' members met.
    #[must_use]
    pub const fn main(&self) -> &Validator {
        &self.main
    }

    /// The channels that run.
    pub fn channels(&self) -> impl Iterator<Item = (&LedgerId, &Validator)> {
        self.channels.values().map(|(ledger, validator)| (ledger, validator))
    }

    /// Stops the channels' validators, then the ledger's.
    pub fn stop(self) {
        self.channels.into_values().for_each(|(_, validator)| validator.stop());
        self.main.stop();
    }

    /// Starts the channels that were joined since the last time; gives their ids.
    pub fn take_up_channels(&mut self) -> Vec<LedgerId> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("channels")) else {
            return Vec::new();
        };
        let mut new = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_laid_out = path.join(CHARTER).exists();
            if !is_laid_out || self.channels.contains_key(&path) || self.refused.contains(&path) {
                continue;
            }
            match self.take_up(&Folder::at(path.clone())) {
                Ok((ledger, validator)) => {
                    tracing::info!(%ledger, api = %validator.api(), "a channel is taken up");
                    new.push(ledger);
                    self.channels.insert(path, (ledger, validator));
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(folder = %path.display(), %error, cause, "a channel is not taken up");
                    self.refused.insert(path);
                }
            }
        }
        new
    }

    fn take_up(&self, folder: &Folder) -> Result<(LedgerId, Validator), ChannelError> {
        let charter = Charter::from_bytes(&folder.read(CHARTER)?)?;
        let ledger = charter.genesis.ledger_id().map_err(CharterError::from)?;
        if folder.genesis()? != charter.genesis {
            return Err(ChannelError::OtherGenesis);
        }
        // Who founded a channel together stays together, whatever becomes of a member later: that
        // is decided on the channel itself.
        if !folder.database().exists() {
            let parent = self.main.handle().reader().view()?;
            charter.verify(&parent, clock::now())?;
        }
        Ok((ledger, Validator::start(folder, &self.passphrase)?))
    }
}
