#![allow(clippy::unwrap_used)]

use super::*;

fn revealed(names: &[&str]) -> Revealed {
    let holders = names.iter().map(|name| name.parse().unwrap()).collect();
    Revealed { holders, shares: Digest::of(names.concat().as_bytes()) }
}

#[test]
fn what_was_revealed_first_stands_for_ever_and_of_many_that_race_one_is_first() {
    let folder = tempfile::tempdir().unwrap();
    let log = RevealedFiles(folder.path().to_owned());
    let invitation = Digest::of(b"invitation");
    assert_eq!(log.look(&invitation).unwrap(), None);
    let sums: Vec<Revealed> = (0..16).map(|n| revealed(&["st-anna", &format!("h{n}")])).collect();
    let stood: Vec<Revealed> = std::thread::scope(|scope| {
        let (log, invitation) = (&log, &invitation);
        let racing: Vec<_> = sums
            .iter()
            .map(|sum| scope.spawn(move || log.first(invitation, sum).unwrap()))
            .collect();
        racing.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(stood.windows(2).all(|pair| pair[0] == pair[1]), "one of them stands, for all");
    assert!(sums.contains(&stood[0]));
    // The next process has not forgotten; another invitation has nothing to do with it.
    let next = RevealedFiles(folder.path().to_owned());
    assert_eq!(next.look(&invitation).unwrap().as_ref(), Some(&stood[0]));
    assert_eq!(next.first(&invitation, &revealed(&["other"])).unwrap(), stood[0]);
    let other = revealed(&["other"]);
    assert_eq!(next.first(&Digest::of(b"another"), &other).unwrap(), other);
    // What lies there is whole: nothing half written is left.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    // A record that was cut short is no record of nothing.
    std::fs::write(folder.path().join(invitation.to_string()), b"{").unwrap();
    assert!(next.first(&invitation, &other).is_err());
    assert!(next.look(&invitation).is_err());
}

#[test]
fn nobody_is_trusted_before_the_operator_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut trust = JointTrust::read(folder.path()).unwrap();
    assert!(trust.policy().is_none());
    let key = || RecipientKey::generate(&mut OsEntropy).unwrap().public_key();
    trust.parties.insert("hub".parse().unwrap(), key());
    assert!(trust.policy().is_none(), "one party would see all");
    trust.parties.insert("university".parse().unwrap(), key());
    trust.write(folder.path()).unwrap();
    assert_eq!(JointTrust::read(folder.path()).unwrap(), trust);
    assert_eq!(trust.policy().unwrap().fewest_honest, 2);
    std::fs::write(folder.path().join(FILE), "fewest_honest = 2\nparty = 1\n").unwrap();
    assert!(JointTrust::read(folder.path()).unwrap_err().to_string().contains("line 2"));
}
