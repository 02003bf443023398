//! The queue of lines: whole lines, in order, and when a port is stuck.

use proptest::prelude::*;
use uart::outbox::{Outbox, TIMEOUT_NS};

fn put<const N: usize>(out: &mut Outbox<N>, line: &[u8]) -> Option<u64> {
    out.put(0, |send| {
        // In parts, as writers pass lines.
        for part in line.chunks(3) {
            send(part);
        }
    })
}

/// Returns what a port gets that takes `count` bytes at a time until the queue is empty.
fn drain<const N: usize>(out: &mut Outbox<N>, count: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    while !out.is_empty() {
        let part = &out.front()[..out.front().len().min(count)];
        sent.extend(part);
        let len = part.len();
        out.take(len);
    }
    sent
}

#[test]
fn a_line_that_does_not_fit_is_lost_whole() {
    let mut out = Outbox::<8>::new();
    assert_eq!(put(&mut out, b"abcd\n"), Some(5));
    assert_eq!(put(&mut out, b"efg\n"), None);
    assert_eq!(put(&mut out, b"ef\n"), Some(8));
    assert_eq!(drain(&mut out, 3), b"abcd\nef\n");
    assert_eq!(out.taken(), 8);
}

#[test]
fn a_port_is_stuck_after_the_timeout_without_progress_and_not_before() {
    const STEP_NS: u64 = 1_000_000;
    let mut out = Outbox::<8>::new();
    put(&mut out, b"ab\n").unwrap();
    let mut now_ns = 0;
    let mut wait = |out: &mut Outbox<8>, for_ns: u64| {
        let end_ns = now_ns + for_ns;
        while now_ns < end_ns {
            now_ns += STEP_NS;
            out.note_blocked(now_ns);
        }
    };
    wait(&mut out, TIMEOUT_NS - STEP_NS);
    assert!(!out.is_stuck());
    // A byte is progress.
    out.take(1);
    wait(&mut out, TIMEOUT_NS - STEP_NS);
    assert!(!out.is_stuck());
    wait(&mut out, STEP_NS);
    assert!(out.is_stuck());
    out.take(1);
    assert!(!out.is_stuck(), "it has moved");
}

#[test]
fn time_without_attempts_to_send_does_not_count() {
    let mut out = Outbox::<8>::new();
    put(&mut out, b"ab\n").unwrap();
    assert!(!out.note_blocked(100 * TIMEOUT_NS), "the machine was stopped");
    // A clock that stands still.
    let attempts = (0..).take_while(|_| !out.note_blocked(100 * TIMEOUT_NS)).count();
    assert!(attempts > 1000, "{attempts}");
}

#[test]
fn lost_lines_are_reported_once_and_not_to_a_stuck_port() {
    let mut out = Outbox::<4>::new();
    put(&mut out, b"abc\n").unwrap();
    out.lose();
    out.lose();
    assert_eq!((out.unreported(), out.lost()), (2, 2));
    while !out.note_blocked(0) {}
    assert_eq!(out.unreported(), 0);
    out.take(4);
    assert_eq!(out.unreported(), 2);
    out.note_reported();
    assert_eq!((out.unreported(), out.lost()), (0, 2));
}

#[test]
fn a_seized_queue_ends_a_partly_sent_line_and_no_other() {
    // Between lines: nothing to end.
    let mut out = Outbox::<16>::new();
    put(&mut out, b"one\n").unwrap();
    put(&mut out, b"two\n").unwrap();
    out.take(4);
    assert!(!out.seize(false));
    assert_eq!(drain(&mut out, 16), b"two\n");
    // In a line whose rest can follow.
    put(&mut out, b"one\n").unwrap();
    out.take(2);
    assert!(!out.seize(false));
    assert_eq!(drain(&mut out, 16), b"e\n");
    // In the middle of sending: what is out is unknown.
    put(&mut out, b"one\n").unwrap();
    put(&mut out, b"two\n").unwrap();
    out.take(2);
    assert!(out.seize(true));
    out.put_first(b"!\n");
    assert_eq!((drain(&mut out, 16), out.lost()), (b"!\ntwo\n".to_vec(), 1));
    // A stuck port: all lines are lost, and the partly sent one is ended.
    put(&mut out, b"one\n").unwrap();
    put(&mut out, b"two\n").unwrap();
    out.take(1);
    assert!(out.discard());
    assert!(out.is_empty());
    assert_eq!(out.lost(), 3);
    assert!(!out.discard(), "no line is partly sent any more");
}

proptest! {
    /// After any puts and takes the port has seen whole lines, in order, and exactly those that fitted.
    #[test]
    fn lines_stay_whole_and_in_order(steps in prop::collection::vec((0usize..40, 0usize..40), 1..60)) {
        let mut out = Outbox::<64>::new();
        let (mut expected, mut sent, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (number, (len, count)) in steps.into_iter().enumerate() {
            let mut line = vec![b'a' + (number % 26) as u8; len];
            line.push(b'\n');
            match put(&mut out, &line) {
                Some(end) => {
                    expected.extend(line);
                    ends.push((end, expected.len() as u64));
                }
                None => out.lose(),
            }
            let part = out.front()[..out.front().len().min(count)].to_vec();
            out.take(part.len());
            sent.extend(part);
            prop_assert_eq!(out.taken(), sent.len() as u64);
        }
        sent.extend(drain(&mut out, 7));
        prop_assert_eq!(sent, expected);
        for (end, wanted) in ends {
            prop_assert_eq!(end, wanted);
        }
    }
}
