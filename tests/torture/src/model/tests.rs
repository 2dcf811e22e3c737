use super::*;
use crate::note::Note::*;

fn op(number: u32) -> Op {
    Op { session: 1, producer: 0, number }
}

fn appending(number: u32, count: u16) -> Note {
    Appending { op: op(number), count, parts: false, prev: None }
}

fn appended(number: u32, first: u64, count: u16, durable: bool) -> Note {
    let numbers = Numbers { first, step: 1, count };
    Appended { op: op(number), prev: first - 1, numbers, durable }
}

fn model(survives: Survives, notes: &[Note]) -> Model {
    let mut model = Model::new(survives, false, 4);
    notes.iter().try_for_each(|note| model.note(note)).unwrap();
    model
}

/// Two appends of three logs that were acknowledged, and one that was not.
fn three(survives: Survives) -> Model {
    let notes = [
        appending(1, 3),
        appended(1, 1, 3, true),
        appending(2, 3),
        appended(2, 4, 3, false),
        appending(3, 3),
    ];
    model(survives, &notes)
}

/// What is found where the logs are these, of appends of three.
fn found(trimmed: u64, logs: &[(u32, u16)]) -> Found {
    let log = |(at, (number, index)): (usize, &(u32, u16))| {
        let prev = trimmed + at as u64;
        (prev + 1, Placed { prev, ident: Ident { op: op(*number), index: *index } })
    };
    let logs: Vec<_> = logs.iter().enumerate().map(log).collect();
    let tip = logs.last().map_or(trimmed, |(seq_no, _)| *seq_no);
    Found { trimmed, tip, page_count: 4, logs }
}

fn whole(numbers: &[u32]) -> Found {
    let logs: Vec<_> = numbers.iter().flat_map(|number| (0..3).map(|at| (*number, at))).collect();
    found(0, &logs)
}

#[track_caller]
fn refuses(model: &Model, found: &Found, why: &str) {
    let reason = model.check(found).expect_err("it must not pass");
    assert!(reason.contains(why), "{reason}");
}

#[test]
fn what_was_acknowledged_must_be_there() {
    let model = three(Survives::Acknowledged);
    model.check(&whole(&[1, 2])).unwrap();
    model.check(&whole(&[1, 2, 3])).unwrap();
    refuses(&model, &whole(&[1]), "log 6 was acknowledged");
    refuses(&model, &found(0, &[]), "log 6 was acknowledged");
    let mut gap = whole(&[1, 2]);
    gap.logs.remove(3);
    gap.logs[3].1.prev = 3;
    refuses(&model, &gap, "acknowledged");
}

#[test]
fn a_power_loss_may_take_what_was_not_durable() {
    let model = three(Survives::Durable);
    model.check(&whole(&[1])).unwrap();
    model.check(&whole(&[1, 2, 3])).unwrap();
    refuses(&model, &found(0, &[]), "log 3 was acknowledged");
    // But not from the middle.
    refuses(&model, &whole(&[1, 3]), "was acknowledged");
}

#[test]
fn syncs_and_the_store_itself_say_what_is_durable() {
    let notes = [appending(1, 3), appended(1, 1, 3, false), Syncing { by: 0 }];
    let mut some = model(Survives::Durable, &notes);
    some.check(&found(0, &[])).unwrap();
    // Asked for after the sync.
    some.note(&appending(2, 3)).unwrap();
    some.note(&appended(2, 4, 3, false)).unwrap();
    some.note(&Synced { by: 0 }).unwrap();
    refuses(&some, &found(0, &[]), "acknowledged");
    some.check(&whole(&[1])).unwrap();
    some.note(&Durable { seq_no: 6 }).unwrap();
    refuses(&some, &whole(&[1]), "acknowledged");
}

#[test]
fn nothing_is_invented() {
    let mut model = three(Survives::Acknowledged);
    refuses(&model, &whole(&[1, 2, 4]), "not appended there");
    refuses(&model, &whole(&[1, 2, 2]), "not appended there");
    refuses(&model, &whole(&[2, 1]), "was acknowledged");
    model.note(&Refused { op: op(3) }).unwrap();
    refuses(&model, &whole(&[1, 2, 3]), "not appended there");
}

#[test]
fn appends_are_whole() {
    let model = three(Survives::Acknowledged);
    let mut torn = whole(&[1, 2, 3]);
    torn.logs.pop();
    torn.tip -= 1;
    refuses(&model, &torn, "there are 2 logs");
    // A trim may take the start of one.
    let mut trimmed = model.clone();
    trimmed.note(&Trimming { up_to: 2 }).unwrap();
    trimmed.check(&found(2, &[(1, 2), (2, 0), (2, 1), (2, 2)])).unwrap();
    refuses(&trimmed, &found(2, &[(1, 2), (2, 0), (2, 1)]), "acknowledged");
}

#[test]
fn only_what_was_given_up_is_gone() {
    let mut model = three(Survives::Acknowledged);
    refuses(&model, &found(3, &[(2, 0), (2, 1), (2, 2)]), "nobody trimmed beyond 0");
    model.note(&Trimming { up_to: 3 }).unwrap();
    model.check(&found(3, &[(2, 0), (2, 1), (2, 2)])).unwrap();
    model.check(&whole(&[1, 2])).unwrap();
    model.note(&Trimmed { up_to: 3, kept: true }).unwrap();
    refuses(&model, &whole(&[1, 2]), "trimmed up to 3");
    // A full ring may give up more, but it must be full.
    let mut ring = three(Survives::Acknowledged);
    ring.overwrites = true;
    let mut rest = found(3, &[(2, 0), (2, 1), (2, 2)]);
    ring.check(&rest).unwrap();
    rest.page_count = 2;
    refuses(&ring, &rest, "the ring is not full");
}

#[test]
fn what_was_truncated_does_not_come_back() {
    let mut model = three(Survives::Acknowledged);
    model.note(&Refused { op: op(3) }).unwrap();
    model.note(&Truncating { after: 2 }).unwrap();
    let cut = found(0, &[(1, 0), (1, 1)]);
    // It may have happened or not.
    model.check(&cut).unwrap();
    model.check(&whole(&[1, 2])).unwrap();
    refuses(&model, &whole(&[1]), "or, after Truncate(2)");
    model.note(&Truncated).unwrap();
    model.check(&cut).unwrap();
    refuses(&model, &whole(&[1, 2]), "not appended there");
    model.note(&appending(4, 3)).unwrap();
    model.note(&appended(4, 3, 3, true)).unwrap();
    model.check(&found(0, &[(1, 0), (1, 1), (4, 0), (4, 1), (4, 2)])).unwrap();
    refuses(&model, &whole(&[1, 2]), "was acknowledged");
}

#[test]
fn what_was_cleared_does_not_come_back() {
    let mut model = three(Survives::Acknowledged);
    model.note(&Clearing).unwrap();
    model.note(&Cleared).unwrap();
    model.check(&found(0, &[])).unwrap();
    refuses(&model, &whole(&[1]), "not appended there");
}

#[test]
fn what_an_open_dropped_does_not_come_back() {
    let mut model = three(Survives::Acknowledged);
    // The third append was not there when somebody opened the store.
    model.note(&Opened { tip: 6, trimmed: 0 }).unwrap();
    refuses(&model, &whole(&[1, 2, 3]), "had been dropped");
    let too_few = model.note(&Opened { tip: 3, trimmed: 0 });
    assert!(too_few.is_err_and(|reason| reason.contains("log 6 was acknowledged")));
}

#[test]
fn what_is_found_is_what_there_is() {
    let mut model = three(Survives::Durable);
    let all = whole(&[1, 2, 3]);
    model.check(&all).unwrap();
    model.rebase(&all);
    refuses(&model, &whole(&[1, 2]), "log 9 was acknowledged");
}

#[test]
fn answers_are_checked_too() {
    let mut model = three(Survives::Acknowledged);
    assert!(model.note(&appended(1, 7, 3, true)).is_err(), "answered twice");
    assert!(model.note(&appended(3, 6, 3, true)).is_err(), "a number given twice");
}
