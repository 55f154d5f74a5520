//! Equivalence classes as bit-packed keys with counts, and how they roll up to coarser levels.

/// Where one column sits in a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    word: usize,
    shift: u32,
    mask: u64,
}

impl Slot {
    pub(crate) fn read<const W: usize>(self, key: &[u64; W]) -> u32 {
        ((key[self.word] >> self.shift) & self.mask) as u32
    }

    fn write<const W: usize>(self, key: &mut [u64; W], code: u32) {
        key[self.word] |= u64::from(code) << self.shift;
    }

    fn clear<const W: usize>(self, key: &mut [u64; W]) {
        key[self.word] &= !(self.mask << self.shift);
    }
}

/// Gives each column enough bits for its number of codes; no column straddles two words.
pub(crate) fn layout(cardinalities: &[usize]) -> (Vec<Slot>, usize) {
    let (mut word, mut used) = (0, 0);
    let slots = cardinalities
        .iter()
        .map(|&codes| {
            let bits = usize::BITS - codes.saturating_sub(1).leading_zeros();
            if used + bits > u64::BITS {
                word += 1;
                used = 0;
            }
            let slot = Slot { word, shift: used.min(63), mask: (1u64 << bits) - 1 };
            used += bits;
            slot
        })
        .collect();
    (slots, word + 1)
}

/// Distinct keys with how many records, and how many people of the population, have them.
#[derive(Debug, Clone)]
pub(crate) struct Groups<const W: usize> {
    pub(crate) keys: Vec<[u64; W]>,
    pub(crate) counts: Vec<u32>,
    /// Empty when there is no population table.
    pub(crate) population: Vec<u32>,
}

/// A column's codes rewritten on the way up.
pub(crate) struct Step<'a> {
    pub(crate) slot: Slot,
    pub(crate) up: &'a [u32],
}

/// An open-addressing index over keys, reused between roll-ups.
#[derive(Debug, Default)]
pub(crate) struct Grouper {
    slots: Vec<u32>,
    mask: usize,
}

const FREE: u32 = u32::MAX;

fn hash<const W: usize>(key: &[u64; W]) -> u64 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = 0u64;
    for &word in key {
        let product = u128::from(state ^ word ^ ODD) * u128::from(0xA076_1D64_78BD_642F_u64);
        state = (product as u64) ^ ((product >> 64) as u64);
    }
    state
}

impl Grouper {
    fn reset(&mut self, expected: usize) {
        let size = (expected.max(8) * 2).next_power_of_two();
        self.slots.clear();
        self.slots.resize(size, FREE);
        self.mask = size - 1;
    }

    /// Position of `key` in `keys`, added when new.
    fn place<const W: usize>(&mut self, keys: &mut Vec<[u64; W]>, key: &[u64; W]) -> usize {
        let mut at = hash(key) as usize & self.mask;
        loop {
            match self.slots[at] {
                FREE => {
                    self.slots[at] = keys.len() as u32;
                    keys.push(*key);
                    return keys.len() - 1;
                }
                known if keys[known as usize] == *key => return known as usize,
                _ => at = (at + 1) & self.mask,
            }
        }
    }

    /// Groups keys that come one by one with their counts.
    pub(crate) fn collect<const W: usize>(
        &mut self,
        expected: usize,
        with_population: bool,
        entries: impl Iterator<Item = ([u64; W], u32, u32)>,
    ) -> Groups<W> {
        self.reset(expected);
        let mut groups = Groups { keys: Vec::new(), counts: Vec::new(), population: Vec::new() };
        for (key, count, people) in entries {
            let at = self.place(&mut groups.keys, &key);
            if at == groups.counts.len() {
                groups.counts.push(count);
                if with_population {
                    groups.population.push(people);
                }
            } else {
                groups.counts[at] += count;
                if with_population {
                    groups.population[at] += people;
                }
            }
        }
        groups
    }

    /// The same records in coarser groups.
    pub(crate) fn roll_up<const W: usize>(
        &mut self,
        source: &Groups<W>,
        steps: &[Step<'_>],
    ) -> Groups<W> {
        let mut keep = [u64::MAX; W];
        for step in steps {
            step.slot.clear(&mut keep);
        }
        let population = !source.population.is_empty();
        let entries = source.keys.iter().enumerate().map(|(i, key)| {
            let mut coarse = *key;
            for (word, kept) in coarse.iter_mut().zip(&keep) {
                *word &= kept;
            }
            for step in steps {
                step.slot.write(&mut coarse, step.up[step.slot.read(key) as usize]);
            }
            let people = if population { source.population[i] } else { 0 };
            (coarse, source.counts[i], people)
        });
        self.collect(source.keys.len(), population, entries)
    }

    /// Numbers keys in order of first appearance.
    pub(crate) fn number<const W: usize>(
        &mut self,
        expected: usize,
        keys: impl Iterator<Item = [u64; W]>,
    ) -> (Vec<u32>, Vec<[u64; W]>) {
        self.reset(expected);
        let mut distinct = Vec::new();
        let numbers = keys.map(|key| self.place(&mut distinct, &key) as u32).collect();
        (numbers, distinct)
    }

    /// Class of each group when some columns are left out of the key, and how many classes.
    pub(crate) fn classes<const W: usize>(
        &mut self,
        source: &Groups<W>,
        left_out: &[Slot],
    ) -> (Vec<u32>, usize) {
        let mut keep = [u64::MAX; W];
        for slot in left_out {
            slot.clear(&mut keep);
        }
        self.reset(source.keys.len());
        let mut keys = Vec::new();
        let class_of = source
            .keys
            .iter()
            .map(|key| {
                let mut class = *key;
                for (word, kept) in class.iter_mut().zip(&keep) {
                    *word &= kept;
                }
                self.place(&mut keys, &class) as u32
            })
            .collect();
        (class_of, keys.len())
    }
}

/// Packs one record.
pub(crate) fn pack<const W: usize>(slots: &[Slot], codes: impl Iterator<Item = u32>) -> [u64; W] {
    let mut key = [0; W];
    for (slot, code) in slots.iter().zip(codes) {
        slot.write(&mut key, code);
    }
    key
}
