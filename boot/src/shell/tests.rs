//! Keys, prompts, and the terminal's mode.

use super::*;
use nix::pty::openpty;

fn typed(input: &[u8], is_terminal: bool) -> (Vec<u8>, bool) {
    let (sender, receiver) = channel();
    let left = AtomicBool::new(false);
    read(input, is_terminal, &sender, &left);
    drop(sender);
    (receiver.iter().flatten().collect(), left.into_inner())
}

#[test]
fn end_of_a_pipe_ends_the_shell() {
    assert_eq!(typed(b"ps\n", false), (b"ps\n\x04".to_vec(), false));
    assert_eq!(typed(b"ps\nuptime", false), (b"ps\nuptime\n\x04".to_vec(), false));
    assert_eq!(typed(b"", false), (b"\x04".to_vec(), false));
}

#[test]
fn every_byte_of_a_pipe_goes_to_the_guest() {
    assert_eq!(typed(b"\x01x\x03\xff\n", false), (b"\x01x\x03\xff\n\x04".to_vec(), false));
}

#[test]
fn ctrl_a_x_quits_and_ctrl_a_twice_sends_one() {
    assert_eq!(typed(b"ps\x01x", true), (Vec::new(), true));
    assert_eq!(typed(b"\x01\x01b\x01c\n", true), (b"\x01bc\n\x04".to_vec(), false));
    let mut keys = Keys { is_escaped: false, has_escape_keys: true };
    assert_eq!(keys.take(b"a\x01"), Some(b"a".to_vec()));
    assert_eq!(keys.take(b"x"), None, "an escape across two reads");
}

#[test]
fn first_prompt_is_found_in_any_division_of_the_output() {
    let (ready, is_ready) = channel();
    let mut output = Vec::new();
    let mut screen = Screen::new(&mut output, true, ready);
    for part in [&b"[    0.1] boot\r\nkta"[..], b"sk", b">", b" "] {
        assert!(is_ready.try_recv().is_err());
        screen.take(part);
    }
    assert!(is_ready.try_recv().is_ok());
    screen.take(b"ps\r\n");
    assert_eq!(output, b"[    0.1] boot\nktask> ps\n");
}

#[test]
fn terminal_mode_is_restored_even_after_a_panic() {
    let Ok(pair) = openpty(None, None) else {
        eprintln!("no pseudo-terminals here: not run");
        return;
    };
    let flags =
        || tcgetattr(&pair.slave).map(|settings| (settings.local_flags, settings.input_flags)).unwrap();
    let before = flags();
    assert!(before.0.contains(LocalFlags::ISIG | LocalFlags::ECHO | LocalFlags::ICANON));
    let panicked = std::panic::catch_unwind(|| {
        let _raw = RawMode::enter(&pair.slave).expect("it is a terminal");
        let during = tcgetattr(&pair.slave).unwrap();
        assert!(!during.local_flags.intersects(LocalFlags::ISIG | LocalFlags::ECHO | LocalFlags::ICANON));
        assert!(during.output_flags.contains(OutputFlags::OPOST));
        panic!("on purpose");
    });
    let message = panicked.unwrap_err().downcast::<&str>().expect("the panic is ours");
    assert_eq!(*message, "on purpose");
    assert_eq!(flags(), before);
}

#[test]
fn other_files_than_terminals_are_not_changed() {
    assert!(RawMode::enter(std::fs::File::open("/dev/null").unwrap()).is_none());
}
