use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey as EngineKey};
use commonware_p2p::simulated::{
    Config, Control, Link, Network as Simulated, Oracle, Receiver, Sender, SplitForwarder,
    SplitOrigin, SplitSender, SplitTarget,
};
use commonware_p2p::{Recipients, Sender as NetworkSender};
use commonware_runtime::deterministic::{self, Context, Runner};
use commonware_runtime::{
    Clock as _, Handle as Task, IoBuf, Quota, Runner as _, Spawner as _, Supervisor as _,
};
use commonware_utils::{NZU32, NZUsize, Probability};
use parking_lot::Mutex;
use salus_ledger::block::{Certificate, FinalBlock, Outcome, Vote};
use salus_ledger::config::PlatformConfig;
use salus_ledger::genesis::Genesis;
use salus_ledger::invariant::invariants;
use salus_ledger::order::{Pool, Replica};
use salus_ledger::proof::TrustAnchor;
use salus_ledger::{BlockHash, Height, LedgerId, TxId, query};
use sha2::{Digest as _, Sha256};

use super::dice::Dice;
use super::disk::{Disk, DiskFault};
use super::world::{change_validators, genesis, issue, secret, signer, validator_name};
use crate::driver::{Core, Engines, Handle, Links, Network, Pace, Shell, engine_key};
use crate::order::CommonwareOrderer;
use crate::packet::{MAX_PACKET_BYTES, Packet};
use crate::proof::ProvedBlock;
use crate::store::{Store, View};

const KNOWN: usize = 5;
const VOTING: usize = 4;
const QUOTA: Quota = Quota::per_second(NZU32!(2_000));
/// The validator in which a fault of one validator is planted.
const ODD_ONE: usize = 2;

/// What is planted for the checkers to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// One disk says that it has synced, and has not.
    SkippedFsync,
    /// Validators vote for bodies that they have not synced.
    UnsyncedBodies,
    /// More validators than the bound sign a second block, and show it to one validator.
    QuorumSignsTwice,
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) blocks: u64,
    pub(crate) acknowledged: u64,
    pub(crate) crashes: u64,
    pub(crate) partitions: u64,
    pub(crate) evidence: u64,
    pub(crate) faults: u64,
    pub(crate) stranded: u64,
    pub(crate) handovers: u64,
    pub(crate) fingerprint: u64,
}

impl Summary {
    pub(crate) fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.acknowledged += other.acknowledged;
        self.crashes += other.crashes;
        self.partitions += other.partitions;
        self.evidence += other.evidence;
        self.faults += other.faults;
        self.stranded += other.stranded;
        self.handovers += other.handovers;
        self.fingerprint ^= other.fingerprint;
    }
}

type Checked<T = ()> = Result<T, String>;
type Acknowledged = Arc<Mutex<BTreeMap<TxId, (Height, Outcome)>>>;

/// What of a validator outlives its process.
#[derive(Clone)]
struct Machine {
    disk: Disk,
    /// The disk of its second process, where it runs two with one key.
    twin: Disk,
    /// What it has acknowledged to clients.
    acknowledged: Acknowledged,
}

impl Machine {
    fn power_off(&self) {
        self.disk.power_off();
        self.twin.power_off();
    }
}

struct Running {
    tasks: Vec<Task<()>>,
    handle: Handle,
    /// A validator whose last handle is dropped stops.
    _twin: Option<Handle>,
    sender: Sender<EngineKey, Context>,
}

fn world() -> &'static (Genesis, LedgerId) {
    static WORLD: OnceLock<(Genesis, LedgerId)> = OnceLock::new();
    WORLD.get_or_init(|| {
        let genesis = genesis(KNOWN, VOTING);
        let ledger = genesis.ledger_id().unwrap();
        (genesis, ledger)
    })
}

fn key(number: usize) -> PrivateKey {
    engine_key(&secret(&validator_name(number))).unwrap()
}

/// A disk with nothing but the genesis, made once.
fn fresh_disk() -> Disk {
    static FIRST: OnceLock<Disk> = OnceLock::new();
    let first = FIRST.get_or_init(|| {
        let disk = Disk::new();
        drop(Store::found_on(disk.clone(), &world().0).unwrap());
        disk
    });
    first.crash(&mut Dice::new("copy", 0))
}

/// One run: a phase with everything that can go wrong, at whose end all validators lose power at
/// once, and a phase in which all is well again.
pub(crate) fn simulate(seed: u64, fault: Fault) -> Checked<Summary> {
    let mut dice = Dice::new("cluster", seed);
    let machines: Vec<Machine> = (0..KNOWN)
        .map(|_| Machine {
            disk: fresh_disk(),
            twin: fresh_disk(),
            acknowledged: Acknowledged::default(),
        })
        .collect();
    if fault == Fault::SkippedFsync {
        machines[ODD_ONE].disk.plant(DiskFault::LyingSync);
    }
    let config = deterministic::Config::default()
        .with_seed(seed)
        .with_start_time(std::time::UNIX_EPOCH + Duration::from_secs(1_790_000_000))
        .with_timeout(Some(Duration::from_secs(600)));
    let run = Run {
        twins: fault == Fault::None && dice.chance(25),
        withheld: Arc::default(),
        dice: dice.clone(),
        machines,
        fault,
        summary: Summary::default(),
        next: 0,
    };
    let (first, checkpoint) = Runner::new(config).start_and_recover(|context| async move {
        let mut run = run;
        run.storm(context).await?;
        Checked::Ok(run)
    });
    let mut run = first?;
    dice.roll();
    run.twins = false;
    run.withheld = Arc::default();
    run.lose_power(&mut dice)?;
    Runner::from(checkpoint).start(|context| run.calm(context))
}

struct Run {
    dice: Dice,
    machines: Vec<Machine>,
    fault: Fault,
    /// Whether the odd one runs two processes with one key, so that it proposes and votes twice.
    twins: bool,
    /// While it is set, votes and final blocks get lost: blocks are agreed and committed nowhere.
    withheld: Arc<AtomicBool>,
    summary: Summary,
    next: u64,
}

struct Net {
    context: Context,
    oracle: Oracle<EngineKey, Context>,
    running: Vec<Option<Running>>,
    cut: BTreeSet<usize>,
}

impl Run {
    async fn start_network(&mut self, context: &Context) -> Net {
        let keys: Vec<EngineKey> = (0..KNOWN).map(|number| key(number).public_key()).collect();
        let config = Config {
            max_size: u32::try_from(MAX_PACKET_BYTES).unwrap(),
            max_peers_per_set: NZUsize!(8),
            disconnect_on_block: true,
            tracked_peer_sets: NZUsize!(1),
        };
        let (network, oracle) =
            Simulated::new_with_peers(context.child("network"), config, keys).await;
        drop(network.start());
        let mut net = Net {
            context: context.child("cluster"),
            oracle,
            running: (0..KNOWN).map(|_| None).collect(),
            cut: BTreeSet::new(),
        };
        self.link(&mut net, BTreeSet::new()).await;
        for number in 0..KNOWN {
            self.start(&mut net, number).await.unwrap();
        }
        net
    }

    /// Cuts the network between these validators and the others.
    async fn link(&mut self, net: &mut Net, cut: BTreeSet<usize>) {
        let loss = self.dice.below(4);
        for from in 0..KNOWN {
            for to in (0..KNOWN).filter(|to| *to != from) {
                let (a, b) = (key(from).public_key(), key(to).public_key());
                let _ = net.oracle.remove_link(a.clone(), b.clone()).await;
                if cut.contains(&from) == cut.contains(&to) {
                    let link = Link {
                        latency: Duration::from_millis(2 + self.dice.below(40)),
                        jitter: Duration::from_millis(self.dice.below(10)),
                        success_rate: Probability::new(100 - loss, 100).unwrap(),
                    };
                    net.oracle.add_link(a, b, link).await.unwrap();
                }
            }
        }
        net.cut = cut;
    }

    fn open(&self, disk: &Disk) -> Checked<Store> {
        let mut store = Store::open_on(disk.clone()).map_err(|e| e.to_string())?;
        if self.fault == Fault::UnsyncedBodies {
            store.plant_unsynced_bodies();
        }
        Ok(store)
    }

    async fn start(&mut self, net: &mut Net, number: usize) -> Checked {
        let machine = &self.machines[number];
        let store = self.open(&machine.disk)?;
        invariant_acknowledged_is_durable(store.view(), machine, number)?;
        let peer = key(number).public_key();
        let control = net.oracle.control(peer.clone());
        let mut channels = Vec::new();
        for channel in 0..4 {
            channels.push(control.register(channel, QUOTA).await.unwrap());
        }
        let context = net.context.child("validator").with_attribute("number", number);
        let sender = channels[3].0.clone();
        let withheld = Arc::clone(&self.withheld);
        let name = format!("simplex-{number}");
        let (mut tasks, mut twin) = (Vec::new(), None);
        let handle = if self.twins && number == ODD_ONE {
            let audience = Audience::draw(&mut self.dice, number);
            let split = split(&context, channels, &audience, &withheld);
            let (first, second): (Vec<_>, Vec<_>) = split.into_iter().unzip();
            let second_store = self.open(&machine.twin)?;
            let second_control = net.oracle.control(peer);
            let place = context.child("twin");
            let name_of_twin = format!("{name}-twin");
            let (task, handle) =
                launch(&place, number, second_store, second, second_control, name_of_twin).await;
            tasks.push(task);
            twin = Some(handle);
            let (task, handle) = launch(&context, number, store, first, control, name).await;
            tasks.push(task);
            handle
        } else {
            let (from, receiver) = channels.pop().unwrap();
            let router = move |message: &NetworkMessage<EngineKey>| match read(message) {
                Some(packet) if withholds(&withheld, &packet) => SplitTarget::None,
                _ => SplitTarget::Primary,
            };
            let (receiver, _) = receiver.split_with(context.child("receiver"), router);
            channels.push((from, receiver));
            let (task, handle) = launch(&context, number, store, channels, control, name).await;
            tasks.push(task);
            handle
        };
        net.running[number] = Some(Running { tasks, handle, _twin: twin, sender });
        Ok(())
    }

    fn crash(&mut self, net: &mut Net, number: usize) {
        if let Some(running) = net.running[number].take() {
            let machine = &mut self.machines[number];
            machine.power_off();
            running.tasks.iter().for_each(Task::abort);
            machine.disk = machine.disk.crash(&mut self.dice);
            machine.twin = machine.twin.crash(&mut self.dice);
            self.summary.crashes += 1;
        }
    }

    fn lose_power(&mut self, dice: &mut Dice) -> Checked {
        for (number, machine) in self.machines.iter_mut().enumerate() {
            machine.disk = machine.disk.crash(dice);
            let store = Store::open_on(machine.disk.clone()).map_err(|e| e.to_string())?;
            invariant_acknowledged_is_durable(store.view(), machine, number)?;
        }
        self.summary.crashes += 1;
        Ok(())
    }

    fn submit(&mut self, net: &Net, count: u64) {
        for _ in 0..count {
            self.next += 1;
            let tx = issue(world().1, self.next);
            let number = self.dice.below(KNOWN as u64) as usize;
            self.hand_in(net, number, tx.as_bytes().to_vec());
        }
    }

    fn hand_in(&self, net: &Net, number: usize, bytes: Vec<u8>) {
        let Some(running) = &net.running[number] else { return };
        let (handle, acknowledged) =
            (running.handle.clone(), self.machines[number].acknowledged.clone());
        drop(net.context.child("client").spawn(move |_| async move {
            if let Ok(ack) = handle.submit(bytes).await {
                acknowledged.lock().insert(ack.transaction, (ack.height, ack.outcome));
            }
        }));
    }

    /// One validator votes for a block that does not exist, beside whatever it votes for.
    fn vote_twice(&mut self, net: &mut Net) {
        let Some(running) = &mut net.running[ODD_ONE] else { return };
        let height = running.handle.status().height.next();
        let false_hash = BlockHash::new([9; 32]);
        let vote = Vote::cast(&signer(&validator_name(ODD_ONE)), &world().1, height, false_hash);
        let bytes = Packet::Vote(vote).to_bytes().unwrap();
        drop(running.sender.send(Recipients::All, bytes, true));
    }

    async fn storm(&mut self, context: Context) -> Checked {
        let mut net = self.start_network(&context).await;
        self.submit(&net, 1);
        let lies = self.dice.chance(30);
        for _ in 0..24 {
            let pause = 50 + self.dice.below(500);
            context.sleep(Duration::from_millis(pause)).await;
            match self.dice.below(100) {
                0..45 => {
                    let count = 1 + self.dice.below(4);
                    self.submit(&net, count);
                }
                45..57 => {
                    let victim = self.dice.below(KNOWN as u64) as usize;
                    self.crash(&mut net, victim);
                }
                57..75 => {
                    for number in 0..KNOWN {
                        if net.running[number].is_none() {
                            self.start(&mut net, number).await?;
                        }
                    }
                }
                75..83 => {
                    let size = 1 + self.dice.below(2) as usize;
                    let cut = (0..size).map(|_| self.dice.below(KNOWN as u64) as usize).collect();
                    self.link(&mut net, cut).await;
                    self.summary.partitions += 1;
                }
                83..94 => self.link(&mut net, BTreeSet::new()).await,
                _ if lies => self.vote_twice(&mut net),
                _ => self.change_validators(&net),
            }
        }
        match self.fault {
            Fault::QuorumSignsTwice => self.sign_twice(&mut net, &context).await,
            Fault::UnsyncedBodies => self.strand(&mut net, &context).await,
            _ if self.dice.chance(40) => self.strand(&mut net, &context).await,
            _ => {}
        }
        if self.fault == Fault::SkippedFsync {
            // Long enough that the odd one has acknowledged something.
            self.link(&mut net, BTreeSet::new()).await;
            context.sleep(Duration::from_secs(10)).await;
            let tx = issue(world().1, 1_000_000);
            self.hand_in(&net, ODD_ONE, tx.as_bytes().to_vec());
            context.sleep(Duration::from_secs(10)).await;
        }
        self.machines.iter().for_each(Machine::power_off);
        stop(&mut net);
        Ok(())
    }

    /// Lets blocks be agreed that nobody commits, until the power goes.
    async fn strand(&mut self, net: &mut Net, context: &Context) {
        if self.fault == Fault::UnsyncedBodies || self.dice.chance(50) {
            self.link(net, BTreeSet::new()).await;
        }
        self.withheld.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            self.submit(net, 4);
            context.sleep(Duration::from_millis(500 + self.dice.below(2_500))).await;
        }
        self.summary.stranded += 1;
    }

    /// All validators sign another next block beside the right one, and validator 0 has that one.
    async fn sign_twice(&mut self, net: &mut Net, context: &Context) {
        for number in 0..KNOWN {
            if net.running[number].is_none() {
                self.start(net, number).await.unwrap();
            }
        }
        self.link(net, BTreeSet::new()).await;
        context.sleep(Duration::from_secs(20)).await;
        self.crash(net, 0);
        let mut store = Store::open_on(self.machines[0].disk.clone()).unwrap();
        let (view, now) = (store.view(), crate::clock::timestamp(context.current()));
        let pool = Pool::new(1024 * 1024);
        let mut replica = Replica::resume(view, view.tip().clone(), None, pool).unwrap();
        replica.admit(view, issue(world().1, 3_000_000).as_bytes(), now).unwrap();
        let block = replica.propose(view, now).unwrap().unwrap();
        let (height, hash) = (block.header.height, block.header.hash().unwrap());
        let listed = replica.config().validator_keys();
        let votes = (0..KNOWN)
            .map(|number| signer(&validator_name(number)))
            .filter(|signer| listed.contains(&signer.public_key()))
            .map(|signer| Vote::cast(&signer, &world().1, height, hash))
            .map(|vote| (vote.validator, vote.signature))
            .collect();
        let certificate = Certificate { height, block: hash, votes };
        let commit = replica.finalise(view, FinalBlock { block, certificate }).unwrap().unwrap();
        store.commit(&commit).unwrap();
        drop(store);
        // Time for the others to commit their own block of that height.
        self.submit(net, 8);
        context.sleep(Duration::from_secs(10)).await;
    }

    /// The fifth validator takes the place of another, or the other way round.
    fn change_validators(&mut self, net: &Net) {
        let Some(running) = net.running.iter().flatten().next() else { return };
        let Ok(view) = running.handle.reader().view() else { return };
        let Ok(Some(config)) = query::config(&view) else { return };
        if config.form().version > 0 {
            return;
        }
        let tx = change_validators(world().1, &config, [0, 1, 2, 4]);
        for number in 0..KNOWN {
            self.hand_in(net, number, tx.as_bytes().to_vec());
        }
    }

    async fn calm(mut self, context: Context) -> Checked<Summary> {
        let mut net = self.start_network(&context).await;
        let last = issue(world().1, 2_000_000);
        for number in 0..KNOWN {
            self.hand_in(&net, number, last.as_bytes().to_vec());
        }
        let done = |net: &Net, machines: &[Machine]| {
            let mut heights = net.running.iter().flatten().map(|r| r.handle.status().height);
            let first = heights.next().unwrap_or(Height::GENESIS);
            let level = heights.all(|height| height == first);
            level && machines.iter().all(|m| m.acknowledged.lock().contains_key(&last.id()))
        };
        let mut patience = 600;
        while !done(&net, &self.machines) && patience > 0 {
            context.sleep(Duration::from_millis(100)).await;
            patience -= 1;
            // Who was refused or not answered asks again, as clients do.
            if patience % 50 == 0 {
                for number in 0..KNOWN {
                    if !self.machines[number].acknowledged.lock().contains_key(&last.id()) {
                        self.hand_in(&net, number, last.as_bytes().to_vec());
                    }
                }
            }
        }
        let outcome = self.check_all(&net);
        let heights: Vec<Height> =
            net.running.iter().flatten().map(|r| r.handle.status().height).collect();
        stop(&mut net);
        let outcome = outcome?;
        if patience == 0 {
            let who: Vec<bool> = self
                .machines
                .iter()
                .map(|m| m.acknowledged.lock().contains_key(&last.id()))
                .collect();
            return Err(format!(
                "all is well, yet the ledger does not go on: heights {heights:?}, acknowledged {who:?}"
            ));
        }
        Ok(outcome)
    }

    fn check_all(&mut self, net: &Net) -> Checked<Summary> {
        let views: Vec<View> = net
            .running
            .iter()
            .flatten()
            .map(|running| running.handle.reader().view().map_err(|e| e.to_string()))
            .collect::<Result<_, _>>()?;
        let mut hash = Sha256::new();
        for (number, view) in views.iter().enumerate() {
            invariant_acknowledged_is_durable(view, &self.machines[number], number)?;
            invariant_agreement(&views[0], view, number)?;
            invariant_recorded_once(view, number)?;
            invariant_every_block_is_proved(view, number)?;
            invariants(view, view.tip()).map_err(|e| e.to_string())?;
            self.summary.acknowledged += self.machines[number].acknowledged.lock().len() as u64;
            for evidence in view.evidence().map_err(|e| e.to_string())? {
                evidence.verify(&world().1).map_err(|e| e.to_string())?;
                if *evidence.validator() != signer(&validator_name(ODD_ONE)).public_key() {
                    return Err(format!("only who lied is accused: {}", evidence.validator()));
                }
                self.summary.evidence += 1;
            }
            self.summary.faults += check_faults(view)?;
            hash.update(view.tip().hash().unwrap().as_bytes());
        }
        let tip = views[0].tip();
        self.summary.blocks = tip.height.get();
        self.summary.handovers =
            views[0].handovers_before(tip.height.next()).map_err(|e| e.to_string())?.len() as u64;
        self.summary.fingerprint = u64::from_be_bytes(hash.finalize()[..8].try_into().unwrap());
        Ok(self.summary.clone())
    }
}

fn stop(net: &mut Net) {
    for running in net.running.iter_mut().filter_map(Option::take) {
        running.tasks.iter().for_each(Task::abort);
    }
}

/// Who is accused of breaking a rule of consensus did, and is the odd one.
fn check_faults(view: &View) -> Checked<u64> {
    let faults = view.faults().map_err(|e| e.to_string())?;
    for fault in &faults {
        let handovers = view.handovers_before(view.tip().height.next()).unwrap();
        let version = |config: &PlatformConfig| config.form().version == fault.config_version;
        let config = std::iter::once(world().0.config.clone())
            .chain(handovers.into_iter().map(|handover| handover.config))
            .find(version)
            .ok_or("a fault under a configuration that never was")?;
        let mut rng = commonware_utils::test_rng();
        fault
            .verify(&world().1, &config.validator_keys(), &mut rng)
            .map_err(|e| format!("a fault is proved: {e}"))?;
        if fault.validator != signer(&validator_name(ODD_ONE)).public_key() {
            return Err(format!("only who lied is accused: {}", fault.validator));
        }
    }
    Ok(faults.len() as u64)
}

type NetworkMessage<P> = (P, IoBuf);

fn read(message: &NetworkMessage<EngineKey>) -> Option<Packet> {
    Packet::from_bytes(message.1.as_ref()).ok()
}

fn withholds(withheld: &AtomicBool, packet: &Packet) -> bool {
    withheld.load(Ordering::Relaxed) && matches!(packet, Packet::Vote(_) | Packet::Final(_))
}

/// Which of the others hear the one process of a validator, and which the other; some hear both,
/// and so have the evidence.
#[derive(Debug, Clone)]
struct Audience {
    first: Vec<EngineKey>,
    second: Vec<EngineKey>,
}

impl Audience {
    fn draw(dice: &mut Dice, number: usize) -> Self {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for other in (0..KNOWN).filter(|other| *other != number) {
            let hears = dice.below(4);
            let peer = key(other).public_key();
            if hears != 0 {
                first.push(peer.clone());
            }
            if hears != 1 {
                second.push(peer);
            }
        }
        Self { first, second }
    }
}

/// What of a message of either process goes to whom: votes only to its own audience.
fn forward(votes: bool, audience: Audience) -> impl SplitForwarder<EngineKey> {
    move |origin, recipients: &Recipients<EngineKey>, _: &IoBuf| {
        let own = match origin {
            SplitOrigin::Primary => &audience.first,
            SplitOrigin::Secondary => &audience.second,
        };
        match recipients {
            Recipients::All if votes => Some(Recipients::Some(own.clone())),
            other => Some(other.clone()),
        }
    }
}

type Split<F> = (SplitSender<EngineKey, Context, F>, Receiver<EngineKey>);

/// One key's channels for two processes. Each transaction reaches one of them, so that they
/// propose different blocks.
fn split(
    context: &Context,
    channels: Vec<(Sender<EngineKey, Context>, Receiver<EngineKey>)>,
    audience: &Audience,
    withheld: &Arc<AtomicBool>,
) -> Vec<(Split<impl SplitForwarder<EngineKey>>, Split<impl SplitForwarder<EngineKey>>)> {
    let mut all = Vec::new();
    for (channel, (sender, receiver)) in channels.into_iter().enumerate() {
        let withheld = Arc::clone(withheld);
        let router = move |message: &NetworkMessage<EngineKey>| match read(message) {
            _ if channel != 3 => SplitTarget::Both,
            Some(packet) if withholds(&withheld, &packet) => SplitTarget::None,
            Some(Packet::Transactions(_)) => {
                let odd = message.1.as_ref().iter().fold(0, |all, byte| all ^ byte) & 1 == 1;
                if odd { SplitTarget::Primary } else { SplitTarget::Secondary }
            }
            _ => SplitTarget::Both,
        };
        let (first, second) = sender.split_with(forward(channel == 0, audience.clone()));
        let (to_first, to_second) = receiver.split_with(context.child("split"), router);
        all.push(((first, to_first), (second, to_second)));
    }
    all
}

async fn launch<S: NetworkSender<PublicKey = EngineKey>>(
    context: &Context,
    number: usize,
    store: Store,
    mut channels: Vec<(S, Receiver<EngineKey>)>,
    control: Control<EngineKey, Context>,
    partition: String,
) -> (Task<()>, Handle) {
    let (sender, receiver) = channels.pop().unwrap();
    let engine_channels: [_; 3] = channels.try_into().ok().unwrap();
    let config = query::config(store.view()).unwrap().unwrap();
    let tip = store.view().tip();
    let orderer =
        CommonwareOrderer::new(tip, config.validator_keys(), config.form().version).unwrap();
    let queue = orderer.queue();
    let pace = Pace {
        leader: Duration::from_millis(600),
        view: Duration::from_millis(1_200),
        retry: Duration::from_millis(600),
        skip: Duration::from_millis(4_000),
    };
    let core = Core::new(store, orderer, signer(&validator_name(number))).unwrap();
    let (tell, told) = futures::channel::oneshot::channel();
    // Everything of the validator is a child of this task, and ends when it is aborted.
    let task = context.child("process").spawn(move |context| async move {
        let engines = Engines {
            links: Links::new(&context, engine_channels),
            context: context.child("engines"),
            blocker: control,
            key: key(number),
            ledger: world().1,
            queue: queue.clone(),
            pace,
            partition,
            running: None,
        };
        let network = Network { sender, receiver, engines };
        let (shell, handle) = Shell::new(context, core, queue, Some(network));
        let _ = tell.send(handle);
        shell.run().await;
    });
    let handle = told.await.unwrap();
    (task, handle)
}

/// Whatever a validator has acknowledged is on its disk, as it was acknowledged.
fn invariant_acknowledged_is_durable(view: &View, machine: &Machine, number: usize) -> Checked {
    for (id, (height, outcome)) in machine.acknowledged.lock().iter() {
        let found = view.recorded(id).map_err(|e| e.to_string())?;
        let same = found.is_some_and(|f| f.entry.height == *height && f.entry.outcome == *outcome);
        if !same {
            return Err(format!("acknowledged is durable: {id} on validator {number}"));
        }
    }
    Ok(())
}

/// Validators that have a block have the same one.
fn invariant_agreement(one: &View, other: &View, number: usize) -> Checked {
    let last = one.tip().height.min(other.tip().height);
    for height in 0..=last.get() {
        let height = Height::new(height);
        if one.header(height).map_err(|e| e.to_string())?
            != other.header(height).map_err(|e| e.to_string())?
        {
            return Err(format!("agreement: validators 0 and {number} at block {height}"));
        }
    }
    Ok(())
}

/// No transaction stands in the history twice.
fn invariant_recorded_once(view: &View, number: usize) -> Checked {
    let mut seen = BTreeSet::new();
    let entries = view.entries(0, u64::MAX).map_err(|e| e.to_string())?;
    match entries.iter().find(|entry| !seen.insert(entry.transaction)) {
        Some(entry) => Err(format!("recorded once: {} on validator {number}", entry.transaction)),
        None => Ok(()),
    }
}

/// Whoever knows the genesis can verify every block, through every change of validators.
fn invariant_every_block_is_proved(view: &View, number: usize) -> Checked {
    let anchor = TrustAnchor::from_genesis(&world().0).map_err(|e| e.to_string())?;
    for height in 1..=view.tip().height.get() {
        let height = Height::new(height);
        let broken = |e: String| format!("every block is proved: {height} on {number}: {e}");
        let finality = view.finality(height).map_err(|e| broken(e.to_string()))?;
        let finality = finality.ok_or_else(|| broken("no certificate".to_owned()))?;
        let handovers = view.handovers_before(height).map_err(|e| broken(e.to_string()))?;
        ProvedBlock { finality, handovers }.verify(&anchor).map_err(|e| broken(e.to_string()))?;
    }
    Ok(())
}
