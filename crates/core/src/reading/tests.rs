//! What `config_parse` of systemd 252 gave for these texts.

use super::*;

fn check(text: &str, expected: &[(&str, &str, &str)]) {
    let read = read(text);
    let read: Vec<_> =
        read.iter().map(|a| (a.section.as_str(), a.name.as_str(), a.value.as_str())).collect();
    assert_eq!(read, expected, "{text:?}");
}

#[test]
fn lines_are_joined_as_systemd_joins_them() {
    check("[S]\nA=b\\\n\nC=d\n", &[("S", "A", "b"), ("S", "C", "d")]);
    check("[S]\nA=b\\\n  \nC=d\n", &[("S", "A", "b"), ("S", "C", "d")]);
    check("[S]\nA=b\\\n# c\\\nC=d\n", &[("S", "A", "b C=d")]);
    check("[S]\nA=b\\\\\nC=d\n", &[("S", "A", "b\\\\"), ("S", "C", "d")]);
    check("[S]\nA=b\\  \n C=d\n", &[("S", "A", "b\\"), ("S", "C", "d")]);
    check("[S]\n# c \\\nA=d\n", &[("S", "A", "d")]);
    check("[S]\nA=b\\\n", &[("S", "A", "b")]);
    check("[S]\nA=b\\", &[("S", "A", "b")]);
    check("[S]\nA=b\\\n[X-Fleet]\nC=d", &[("S", "A", "b [X-Fleet]"), ("S", "C", "d")]);
    check("A=b\n[S]\nA=\\\nb\\\n\\\n\\\nc\n", &[("S", "A", "b   c")]);
    check("[S]\nA=b\\\n ;c\n\t#d\n e\n", &[("S", "A", "b  e")]);
    check("foo\\\n[S]\nA=b\n", &[]);
}

#[test]
fn cr_and_nul_end_lines_too() {
    let expected = [("S", "A", "b"), ("S", "C", "d"), ("S", "E", "f"), ("S", "G", "h")];
    check("[S]\nA=b\rC=d\n\rE=f\0G=h\n", &expected);
    let ends: Vec<&str> = Lines("a\r\nb\n\n\rc\0\nd\n\0e\r\r").collect();
    assert_eq!(ends, ["a", "b", "", "c", "", "d", "e", ""]);
}

#[test]
fn one_mark_is_taken_from_the_beginning_of_a_line() {
    check("[S]\n\u{feff}A=b\n\u{feff}C=d", &[("S", "A", "b"), ("S", "\u{feff}C", "d")]);
    check("[S]\nA=b\\\n\u{feff}C=d", &[("S", "A", "b C=d")]);
}

#[test]
fn what_systemd_refuses_ends_the_reading() {
    for bad in ["B=\u{fffe}", "B=\u{fdd0}", "[S\"]", "[S", "[S] x"] {
        check(&format!("[S]\nA=b\n{bad}\nC=d\n"), &[("S", "A", "b")]);
    }
}

#[test]
fn the_rest_is_ignored_or_taken_as_it_is() {
    check("[S]\nfoo\n=x\nB=c\n", &[("S", "B", "c")]);
    check("[S]\nA=\u{1}\u{1b}\u{7f}\nB=c\n", &[("S", "A", "\u{1}\u{1b}\u{7f}"), ("S", "B", "c")]);
    check(
        "[S]\nA=\u{a0}b\u{a0}\nB=\u{b}c\u{c}\n",
        &[("S", "A", "\u{a0}b\u{a0}"), ("S", "B", "\u{b}c\u{c}")],
    );
    check("[ S ]\nA=b\n", &[(" S ", "A", "b")]);
}
