use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use commonware_cryptography::Signer as _;
use commonware_cryptography::ed25519::{PrivateKey, PublicKey as EngineKey};
use commonware_p2p::simulated::{
    Config, Control, Link, Network as Simulated, Oracle, Receiver, Sender,
};
use commonware_p2p::{Recipients, Sender as _};
use commonware_runtime::deterministic::{self, Context, Runner};
use commonware_runtime::{
    Clock as _, Handle as Task, Quota, Runner as _, Spawner as _, Supervisor as _,
};
use commonware_utils::{NZU32, NZUsize, Probability};
use parking_lot::Mutex;
use salus_ledger::block::{Outcome, Vote};
use salus_ledger::genesis::Genesis;
use salus_ledger::invariant::invariants;
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
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) blocks: u64,
    pub(crate) acknowledged: u64,
    pub(crate) crashes: u64,
    pub(crate) partitions: u64,
    pub(crate) evidence: u64,
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
    /// What it has acknowledged to clients.
    acknowledged: Acknowledged,
}

struct Running {
    task: Task<()>,
    handle: Handle,
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
        .map(|_| Machine { disk: fresh_disk(), acknowledged: Acknowledged::default() })
        .collect();
    if fault == Fault::SkippedFsync {
        machines[ODD_ONE].disk.plant(DiskFault::LyingSync);
    }
    let config = deterministic::Config::default()
        .with_seed(seed)
        .with_start_time(std::time::UNIX_EPOCH + Duration::from_secs(1_790_000_000))
        .with_timeout(Some(Duration::from_secs(600)));
    let run = Run { dice: dice.clone(), machines, fault, summary: Summary::default(), next: 0 };
    let (first, checkpoint) = Runner::new(config).start_and_recover(|context| async move {
        let mut run = run;
        run.storm(context).await?;
        Checked::Ok(run)
    });
    let mut run = first?;
    dice.roll();
    run.lose_power(&mut dice)?;
    Runner::from(checkpoint).start(|context| run.calm(context))
}

struct Run {
    dice: Dice,
    machines: Vec<Machine>,
    fault: Fault,
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

    async fn start(&mut self, net: &mut Net, number: usize) -> Checked {
        let machine = &self.machines[number];
        let store = Store::open_on(machine.disk.clone()).map_err(|e| e.to_string())?;
        invariant_acknowledged_is_durable(store.view(), machine, number)?;
        let control = net.oracle.control(key(number).public_key());
        let mut channels = Vec::new();
        for channel in 0..4 {
            channels.push(control.register(channel, QUOTA).await.unwrap());
        }
        let context = net.context.child("validator").with_attribute("number", number);
        net.running[number] = Some(launch(&context, number, store, channels, control).await);
        Ok(())
    }

    fn crash(&mut self, net: &mut Net, number: usize) {
        if let Some(running) = net.running[number].take() {
            running.task.abort();
            let machine = &mut self.machines[number];
            machine.disk = machine.disk.crash(&mut self.dice);
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
        if self.fault == Fault::SkippedFsync {
            // Long enough that the odd one has acknowledged something.
            self.link(&mut net, BTreeSet::new()).await;
            context.sleep(Duration::from_secs(10)).await;
            let tx = issue(world().1, 1_000_000);
            self.hand_in(&net, ODD_ONE, tx.as_bytes().to_vec());
            context.sleep(Duration::from_secs(10)).await;
        }
        stop(&mut net);
        Ok(())
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
        outcome
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
        running.task.abort();
    }
}

async fn launch(
    context: &Context,
    number: usize,
    store: Store,
    mut channels: Vec<(Sender<EngineKey, Context>, Receiver<EngineKey>)>,
    control: Control<EngineKey, Context>,
) -> Running {
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
    let to_all = sender.clone();
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
            partition: format!("simplex-{number}"),
            running: None,
        };
        let network = Network { sender, receiver, engines };
        let (shell, handle) = Shell::new(context, core, queue, Some(network));
        let _ = tell.send(handle);
        shell.run().await;
    });
    let handle = told.await.unwrap();
    Running { task, handle, sender: to_all }
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
