use super::Seen;

#[test]
fn a_percentile_is_a_figure_that_was_seen() {
    let mut seen = Seen::default();
    assert_eq!(seen.percentile(50), None);
    for millis in 1..=100 {
        seen.add(millis);
    }
    assert_eq!((seen.percentile(50), seen.percentile(95)), (Some(50), Some(95)));
    for _ in 0..200 {
        seen.add(7);
    }
    assert_eq!((seen.blocks(), seen.percentile(95)), (200, Some(7)), "the oldest were forgotten");
}
