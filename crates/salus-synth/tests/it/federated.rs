//! Several holders fit one model, and none shows its rows.

use salus_dp::audit::audit;
use salus_dp::{Delta, Epsilon, UnitKey, rho_from_epsilon};
use salus_model::{Class, Classified as _, MicroRho};
use salus_synth::quality::similarity;
use salus_synth::{
    Ask, Federation, FederationError, Missing, Model, Next, Reply, Table, TableBuilder,
};

use crate::support::{adult, category, table};

/// Runs both rounds over the holders' tables; what passes between them goes through JSON.
fn together(holders: &[Table], rho: MicroRho, pairs: &[[usize; 2]]) -> Model {
    let attributes = holders[0].attributes().to_vec();
    let (mut federation, mut ask) = Federation::new(attributes, holders.len(), rho, pairs).unwrap();
    loop {
        let sent = serde_json::to_string(&ask).unwrap();
        let mut next = None;
        for (i, own) in holders.iter().enumerate() {
            let received: Ask = serde_json::from_str(&sent).unwrap();
            let reply = serde_json::to_string(&received.answer(own).unwrap()).unwrap();
            let reply: Reply = serde_json::from_str(&reply).unwrap();
            assert!(next.is_none(), "the coordinator waits for all");
            next = federation.take(i, reply).unwrap();
        }
        match next.unwrap() {
            Next::Ask(more) => ask = more,
            Next::Done(model) => return *model,
        }
    }
}

#[test]
fn three_hospitals_fit_nearly_what_one_would() {
    let (attributes, rows) = adult();
    let rho = rho_from_epsilon(Epsilon::new(1.0).unwrap(), Delta::new(1e-6).unwrap());
    let whole = table(attributes.clone(), &rows);
    let part = |n: usize| -> Vec<Vec<Option<String>>> {
        rows.iter().enumerate().filter(|(i, _)| i % 3 == n).map(|(_, r)| r.clone()).collect()
    };
    let thirds = [0, 1, 2].map(|n| table(attributes.clone(), &part(n)));
    // Known to belong together: age and marital status, education and occupation, and both with
    // salary; sex with marital status.
    let pairs = [[1, 3], [4, 7], [7, 8], [3, 8], [0, 3], [6, 7], [2, 5], [5, 4]];
    let quality = |model: &Model| {
        let sample = model.sample(20_000, 1, &[], &[]).unwrap();
        similarity(&whole, sample.table()).quality()
    };
    let (one, three) =
        (together(std::slice::from_ref(&whole), rho, &pairs), together(&thirds, rho, &pairs));
    println!(
        "n 30,162, ε 1, δ 1e-6: one holder {:.4}, three {:.4}, rows {:.0} and {:.0}",
        quality(&one),
        quality(&three),
        one.rows(),
        three.rows()
    );
    assert!(quality(&three) >= 0.94 && quality(&one) >= quality(&three) - 0.01);
    // Nine tables with noise of three holders: rows are off by far less than a hundredth.
    assert!((three.rows() - 30_162.0).abs() < 300.0);
    assert!(three.cost().rho <= rho);
    // One holder's rows alone teach less: its sample is smaller than what it joined.
    assert!(three.rows() > 2.5 * 10_054.0);
}

fn small(planted: usize) -> Table {
    let attributes = vec![
        category("sex", &["f", "m"], Missing::Never),
        category("ward", &["a", "b"], Missing::Never),
    ];
    let mut builder = TableBuilder::new(attributes, 1).unwrap();
    for unit in 0..5 {
        builder.push(UnitKey::new(unit), &[Some("f"), Some("a")]).unwrap();
    }
    for _ in 0..planted {
        builder.push(UnitKey::new(99), &[Some("m"), Some("b")]).unwrap();
    }
    builder.finish()
}

/// What a curious coordinator makes of all that one holder sends it.
fn seen(own: &Table, other: &Table, rho: MicroRho) -> f64 {
    let (mut federation, ask) = Federation::new(own.attributes().to_vec(), 2, rho, &[]).unwrap();
    let first = ask.answer(own).unwrap();
    let mut told = planted_counts(&first);
    federation.take(0, first).unwrap();
    let Some(Next::Ask(second)) = federation.take(1, ask.answer(other).unwrap()).unwrap() else {
        panic!("there is a second round")
    };
    told += planted_counts(&second.answer(own).unwrap());
    told
}

/// The last cell of each table: the planted person's.
fn planted_counts(reply: &Reply) -> f64 {
    let value = serde_json::to_value(reply).unwrap();
    let last = |cells: &serde_json::Value| cells.as_array().unwrap().last().unwrap().as_f64();
    value["counts"].as_array().unwrap().iter().filter_map(last).sum()
}

#[test]
fn a_holders_replies_tell_no_more_than_they_are_charged() {
    const RUNS: usize = 4_000;
    const ALPHA: f64 = 1e-5;
    let (with, without, other) = (small(40), small(0), small(3));
    for (rho, honest) in [(500_000, true), (32_000_000, false)] {
        let rho = MicroRho::new(rho);
        let found =
            audit(RUNS, ALPHA, 0.0, || seen(&with, &other, rho), || seen(&without, &other, rho));
        println!("n {RUNS}, ρ ≥ {:.3}, claimed 0.5, alpha {ALPHA}", found.rho.at_least);
        // What spends 64 times as much is found out, so the audit can see.
        assert_eq!(found.rho.at_least <= 0.5, honest, "{found:?}");
    }
}

#[test]
fn replies_that_do_not_answer_are_refused() {
    let own = small(3);
    let rho = MicroRho::new(500_000);
    let new = || Federation::new(own.attributes().to_vec(), 2, rho, &[]).unwrap();
    let (mut federation, ask) = new();
    let reply = ask.answer(&own).unwrap();
    federation.take(0, reply.clone()).unwrap();
    let twice = federation.take(0, reply.clone()).unwrap_err();
    assert!(twice.to_string().contains("replied already"));
    // The first reply is the one that counts: with another holder's, the sum is that of the two.
    let mut inflated = serde_json::to_value(&reply).unwrap();
    for cell in inflated["counts"][0].as_array_mut().unwrap() {
        *cell = 1_000_000_000.into();
    }
    let inflated: Reply = serde_json::from_value(inflated).unwrap();
    let (mut federation, _) = new();
    federation.take(0, reply.clone()).unwrap();
    assert!(federation.take(0, inflated).is_err());
    let Some(Next::Ask(second)) = federation.take(1, reply.clone()).unwrap() else {
        panic!("there is a second round")
    };
    let first = federation.take(0, second.answer(&own).unwrap()).unwrap();
    assert!(first.is_none());
    let Some(Next::Done(model)) = federation.take(1, second.answer(&own).unwrap()).unwrap() else {
        panic!("the model is done")
    };
    assert!(model.rows() < 1_000.0, "{} rows", model.rows());
    let (mut federation, _) = new();
    federation.take(0, reply.clone()).unwrap();
    assert!(federation.take(7, reply.clone()).unwrap_err().to_string().contains("no such holder"));
    let other = vec![
        category("sex", &["f", "m", "x"], Missing::Never),
        category("ward", &["a", "b"], Missing::Never),
    ];
    let (_, foreign) = Federation::new(other, 1, rho, &[]).unwrap();
    assert!(matches!(foreign.answer(&own), Err(FederationError::OtherAttributes)));
    // A reply with other tables, as a peer might send it.
    let mut value = serde_json::to_value(&reply).unwrap();
    value["counts"][0].as_array_mut().unwrap().pop();
    let (mut federation, _) = new();
    let wrong = federation.take(0, serde_json::from_value(value).unwrap()).unwrap_err();
    assert_eq!(wrong.class(), Class::Peer);
    for pairs in [vec![[0, 1], [1, 0]], vec![[0, 5]], vec![[1, 1]]] {
        assert!(Federation::new(own.attributes().to_vec(), 1, rho, &pairs).is_err());
    }
    assert!(Federation::new(own.attributes().to_vec(), 1, MicroRho::new(10), &[]).is_err());
}

/// The question changed as a coordinator might.
fn changed(ask: &Ask, how: impl FnOnce(&mut serde_json::Value)) -> Ask {
    let mut value = serde_json::to_value(ask).unwrap();
    how(&mut value);
    serde_json::from_value(value).unwrap()
}

#[test]
fn a_question_that_asks_for_more_room_than_there_is_is_refused() {
    let words: Vec<String> = (0..3_000).map(|v| format!("v{v}")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let attributes: Vec<_> = ["a", "b", "c"].map(|n| category(n, &words, Missing::Never)).to_vec();
    let mut builder = TableBuilder::new(attributes.clone(), 1).unwrap();
    for unit in 0..9_000usize {
        let word = Some(words[unit % 3_000]);
        builder.push(UnitKey::new(unit as u128), &[word, word, word]).unwrap();
    }
    let own = builder.finish();
    // Next to no noise, so that all values stay apart.
    let rho = MicroRho::new(40_000_000_000);
    let (mut federation, ask) = Federation::new(attributes, 1, rho, &[]).unwrap();
    // Codes up to 65,535 would make a pair of 2³² cells.
    let huge = changed(&ask, |value| {
        let mut codes = vec![0u16; 3_000];
        codes[0] = u16::MAX;
        value["short"] = serde_json::json!([codes, codes, codes]);
        value["scopes"] = serde_json::json!([[0, 1]]);
    });
    let refused = huge.answer(&own).unwrap_err();
    assert!(matches!(refused, FederationError::Setup(_)), "{refused:?}");
    // All values of both, which are those of the attributes: 9 million cells.
    let wide = changed(&ask, |value| value["scopes"] = serde_json::json!([[0, 1]]));
    let refused = wide.answer(&own).unwrap_err();
    assert!(refused.to_string().contains("4,194,304 counts"), "{refused}");
    assert_eq!(refused.class(), Class::BadRequest);
    // And the same little table, ever so often.
    let often = changed(&ask, |value| value["scopes"] = serde_json::json!(vec![[0]; 2_000]));
    assert!(often.answer(&own).unwrap_err().to_string().contains("4,194,304 counts"));
    // A coordinator who would have to ask for so much says so, and sends no such question.
    let said = federation.take(0, ask.answer(&own).unwrap()).unwrap_err();
    assert!(said.to_string().contains("4,194,304 counts"), "{said}");
}
