//! People from the tail whose whole record is in the release as it is.

use std::num::NonZeroU32;

use hashbrown::HashSet;

use super::Scene;
use super::frame::shared_columns;
use super::statistics::binomial_tail;
use crate::risk::joint_classes;
use crate::table::{Table, TableError};

/// Where control people are published as well, chance does it, and members have to exceed them so
/// far that chance would in one of twenty releases.
const LEVEL: f64 = 0.05;

/// The same of a release that was drawn from a model with a bound, which repeats records by chance
/// alone: over all looks one in a thousand passes for a leak.
const LEVEL_DRAWN: f64 = 0.001;

/// How many people with a value that nobody else has are in the release as they are.
///
/// Not a rate: one such record is one person exposed, and so everybody is looked at, not a draw.
/// Of a wide table chance does not explain it, for it would have to repeat a unique value and every
/// other value along with it. Of a narrow one it may, and how often it does, control people tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verbatim {
    pub(super) members: u64,
    pub(super) control: u64,
    /// Of all people, the share that are members.
    share: f64,
    drawn: bool,
}

/// Who has a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Nobody,
    /// One person: a member or a control person, and which.
    One((usize, u32)),
    Several,
}

impl Owner {
    fn and(self, person: (usize, u32)) -> Self {
        match self {
            Self::Nobody => Self::One(person),
            Self::One(known) if known == person => self,
            Self::One(_) | Self::Several => Self::Several,
        }
    }
}

impl Verbatim {
    /// Nobody was looked for.
    pub(super) const NONE: Self = Self { members: 0, control: 0, share: 0.5, drawn: false };

    pub(super) fn of(scene: &Scene<'_>) -> Result<Self, TableError> {
        let whose = |table: &Table| -> Result<Vec<u32>, TableError> {
            match scene.person {
                Some(person) => Ok(table.column(person)?.codes().to_vec()),
                None => Ok((0..table.rows() as u32).collect()),
            }
        };
        let people = [whose(scene.real)?, whose(scene.control)?];
        let number = |side: &[u32]| side.iter().collect::<HashSet<_>>().len() as f64;
        let [members, others] = [number(&people[0]), number(&people[1])];
        let [found, control] = published(scene, &people)?;
        Ok(Self {
            members: found,
            control,
            share: members / (members + others).max(1.0),
            drawn: scene.drawn,
        })
    }

    /// Whether members are published as they are beyond what chance explains.
    pub(super) fn decides(self, looks: NonZeroU32) -> bool {
        if self.members == 0 {
            return false;
        }
        let chance = binomial_tail(self.members, self.members + self.control, self.share);
        if self.drawn {
            return chance <= LEVEL_DRAWN / f64::from(looks.get());
        }
        self.control == 0 || chance <= LEVEL
    }

    /// The counts in words; nothing where no member is published.
    pub(super) fn words(self, decides: bool) -> String {
        let Self { members, control, .. } = self;
        match (members, decides) {
            (0, _) => String::new(),
            (_, true) => format!(
                " {members} members with a value that nobody else has are published as they are: \
                 the score is 0 whatever the rates."
            ),
            (_, false) => format!(
                " {members} members with a value that nobody else has are published as they are, \
                 and so are {control} people who are not in the data: chance explains it."
            ),
        }
    }
}

/// Members and control people who are published, each counted once.
fn published(scene: &Scene<'_>, people: &[Vec<u32>; 2]) -> Result<[u64; 2], TableError> {
    let names = shared_columns(scene);
    let (split, classes) = joint_classes(&[scene.real, scene.control, scene.released], &names)?;
    let mut known = vec![false; classes];
    for &class in &split[2] {
        known[class as usize] = true;
    }
    let alone = alone(scene, &names, people)?;
    Ok([0, 1].map(|side| {
        let records = alone[side].iter().zip(&split[side]).zip(&people[side]);
        let exposed: HashSet<u32> = records
            .filter(|((alone, class), _)| **alone && known[**class as usize])
            .map(|(_, person)| *person)
            .collect();
        exposed.len() as u64
    }))
}

/// Which records of members and of control people have a value that nobody else has.
fn alone(
    scene: &Scene<'_>,
    names: &[&str],
    people: &[Vec<u32>; 2],
) -> Result<[Vec<bool>; 2], TableError> {
    let mut alone = [vec![false; scene.real.rows()], vec![false; scene.control.rows()]];
    for name in names {
        let (split, values) = joint_classes(&[scene.real, scene.control], &[name])?;
        let mut owners: Vec<Owner> = vec![Owner::Nobody; values];
        for (side, (people, values)) in people.iter().zip(&split).enumerate() {
            for (&person, &value) in people.iter().zip(values) {
                let own = &mut owners[value as usize];
                *own = own.and((side, person));
            }
        }
        for (alone, values) in alone.iter_mut().zip(&split) {
            for (alone, &value) in alone.iter_mut().zip(values) {
                *alone |= matches!(owners[value as usize], Owner::One(_));
            }
        }
    }
    Ok(alone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::num::NonZeroU32;

    use super::Verbatim;

    #[test]
    fn one_is_enough_unless_control_people_show_that_chance_does_it() {
        let decides = |members, control, drawn| {
            Verbatim { members, control, share: 0.5, drawn }.decides(NonZeroU32::MIN)
        };
        assert!(!decides(0, 0, false) && !decides(0, 3, false));
        assert!(decides(1, 0, false) && decides(40, 4, false));
        // 2 to 1 happens by chance in half of all releases, 9 to 1 in 1 of 93.
        assert!(!decides(2, 1, false) && decides(9, 1, false));
        // Drawn from a model: 9 to 0 has a chance of 1 in 512, 10 to 0 of 1 in 1,024.
        assert!(!decides(1, 0, true) && !decides(9, 0, true) && decides(10, 0, true));
        assert!(!decides(60, 50, true) && decides(100, 30, true));
    }

    #[test]
    fn looks_and_unequal_groups_are_reckoned_with() {
        let ten = Verbatim { members: 10, control: 0, share: 0.5, drawn: true };
        assert!(!ten.decides(NonZeroU32::new(8).unwrap()));
        // Of ten times as many members ten to one are what chance does.
        let many = Verbatim { members: 10, control: 1, share: 10.0 / 11.0, drawn: false };
        assert!(!many.decides(NonZeroU32::MIN));
        assert!(Verbatim { share: 0.5, ..many }.decides(NonZeroU32::MIN));
    }
}
