//! The vectors of `units.md` 1.

use super::*;

/// What lexes of `text`, as `(section, name, value)`.
fn lexed(text: &[u8]) -> Result<Vec<(String, String, String)>, LexError> {
    let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let options = lex(text, LineLimit::Enforced)?;
    Ok(options.iter().map(|o| (string(&o.section), o.name.clone(), string(&o.value))).collect())
}

fn error(text: &str) -> String {
    lexed(text.as_bytes()).expect_err(text).to_string()
}

/// Checks that `text` lexes to `options`.
fn check(text: &str, options: &[(&str, &str, &str)]) {
    let lexed = lexed(text.as_bytes()).expect(text);
    let lexed: Vec<_> =
        lexed.iter().map(|(s, n, v)| (s.as_str(), n.as_str(), v.as_str())).collect();
    assert_eq!(lexed, options, "{text:?}");
}

#[test]
fn options_lex_as_in_the_original() {
    check(
        "\n[Service]\n  ExecStart \t=  /bin/sleep 100  \n",
        &[("Service", "ExecStart", "/bin/sleep 100")],
    );
    check(
        "[Service]\nExecStart=\nExecStart=/bin/true\n",
        &[("Service", "ExecStart", ""), ("Service", "ExecStart", "/bin/true")],
    );
    check("[Service]\nA=  \n", &[("Service", "A", "")]);
    check("[Service]\n=value\n", &[("Service", "", "value")]);
    check("[Service]\nA=b=c=d\n", &[("Service", "A", "b=c=d")]);
    check("[Service]\nA=b # c\n", &[("Service", "A", "b # c")]);
    check("[Service]\nA b]=c\n", &[("Service", "A b]", "c")]);
    check("[Service]\n\u{feff}A=c\n", &[("Service", "\u{feff}A", "c")]);
    check("[Service]\n\u{2003}A\u{a0}=\u{2028}b\u{85}\n", &[("Service", "A", "b")]);
    check(
        ">>>>\n[Service]\nExecStart=jim\n<<<<=bar\n",
        &[("Service", "ExecStart", "jim"), ("Service", "<<<<", "bar")],
    );
}

#[test]
fn values_continue_after_a_backslash() {
    check("[Service]\nA=b\\\n# c\nC=d\n", &[("Service", "A", "b\\\n# c"), ("Service", "C", "d")]);
    check(
        "[Service]\nA=b\\\n[Foo]\nC=d\n",
        &[("Service", "A", "b\\\n[Foo]"), ("Service", "C", "d")],
    );
    check("[Service]\nA=b\\\\\nC=d\n", &[("Service", "A", "b\\\\\nC=d")]);
    check("[Service]\nA=b \\ \nC=d\n", &[("Service", "A", "b \\"), ("Service", "C", "d")]);
    check("[Service]\nA=b\\\n   \nC=d\n", &[("Service", "A", "b\\\n"), ("Service", "C", "d")]);
    check("[Service]\nA=b\\\n\nC=d\n", &[("Service", "A", "b\\\n"), ("Service", "C", "d")]);
    check("[Service]\nA=b\\\n", &[("Service", "A", "b\\\n")]);
    check("[Service]\nA=b\\", &[("Service", "A", "b\\")]);
    check("[Service]\nA=b\\\r", &[("Service", "A", "b\\")]);
    check("[Service]\nExecStop=\\\necho foo\n", &[("Service", "ExecStop", "\\\necho foo")]);
    check("[Service]\nA=b\\\n  c\\\n d\n", &[("Service", "A", "b\\\n  c\\\n d")]);
}

#[test]
fn sections_are_taken_verbatim() {
    check("[Service\nA=b\n[Foo]\nC=d\n", &[("Service\nA=b\n[Foo", "C", "d")]);
    check("[ Service ]\nA=b\n", &[(" Service ", "A", "b")]);
    check("[]\nA=b\n", &[("", "A", "b")]);
    check(
        "  [A]\nB=1\n\t[C] \nD=2\n[A]\nE=3\n",
        &[("A", "B", "1"), ("C", "D", "2"), ("A", "E", "3")],
    );
}

#[test]
fn what_precedes_the_first_section_is_dropped() {
    check("", &[]);
    check("Echo", &[]);
    check("[Service]", &[]);
    check("foo[Bar]\nA=b\n", &[("Bar", "A", "b")]);
    check("x ; y [Z]\nA=b\n", &[]);
    check("x ; y [Z]\n[A]\nB=c\n", &[("A", "B", "c")]);
    check("\u{feff}[A]\nB=c\n", &[("A", "B", "c")]);
    check("# c \\\n[A]\n[B]\nC=d\n", &[("B", "C", "d")]);
}

#[test]
fn comments_continue_after_a_backslash_and_one_blank() {
    for comment in ["# c \\", "; c \\", "# c \\ "] {
        check(&format!("[S]\n{comment}\nA=b\nC=d\n"), &[("S", "C", "d")]);
    }
    for comment in ["# c \\  ", "# c \\\t", "# c"] {
        check(&format!("[S]\n{comment}\nA=b\n"), &[("S", "A", "b")]);
    }
    check("[S]\n# a\\\nb\\\nc=d\nA=b\n", &[("S", "A", "b")]);
    check("[S]\n#\\", &[]);
}

#[test]
fn crlf_counts_as_lf() {
    check("[Service]\r\nA=b\r\nC=d\r\n", &[("Service", "A", "b"), ("Service", "C", "d")]);
    check("[S]\r\nA=b\\\r\n c\r\nD=e\r\n", &[("S", "A", "b\\\n c"), ("S", "D", "e")]);
    check("[S]\nA=b\rc\n", &[("S", "A", "b\rc")]);
}

#[test]
fn errors_say_what_and_where() {
    for (text, expected) in [
        ("[Service", "unable to find end of section (line 1)"),
        ("[A]\nB=c\n[Service\n", "unable to find end of section (line 3)"),
        ("[Service]foo\n", r#"found garbage after section name "Service": [102 111 111] (line 1)"#),
        ("[Service] # x\n", r#"found garbage after section name "Service": [35 32 120] (line 1)"#),
        ("\n[[X]]\n", r#"found garbage after section name "[X": [93] (line 2)"#),
        ("[a\nb]c", r#"found garbage after section name "a\nb": [99] (line 2)"#),
        (
            "[Service]\n<<<<\n",
            "unexpected newline encountered while parsing option name (line 2, section \"Service\")",
        ),
        (
            "[S]\nA=b\\\nc\n\n  d\re=f\n",
            "unexpected newline encountered while parsing option name (line 5, section \"S\")",
        ),
        (
            "[S]\nA=b\nC",
            "unexpected EOF encountered while parsing option name (line 3, section \"S\")",
        ),
        ("[S]\rA=b\r", r#"found garbage after section name "S": [65 61 98] (line 1)"#),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
}

#[test]
fn physical_lines_have_at_most_2047_bytes() {
    let ok = "x".repeat(2047);
    let long = "x".repeat(2048);
    let too_long = |line| format!("line too long (max 2048 bytes) (line {line})");
    check(&format!("{ok}\n[S]\n#{}\n", &ok[1..]), &[]);
    check(&format!("{ok}\r{ok}\n"), &[]);
    assert_eq!(error(&long), too_long(1));
    assert_eq!(error(&format!("[S]\n#{ok}\n")), too_long(2));
    assert_eq!(error(&format!("[S]\nA=b\n{}\n", " ".repeat(2048))), too_long(3));
    assert_eq!(error(&format!("[S]\n{ok}A=b\r\n")), too_long(2));

    let line = "y".repeat(1500);
    let three = format!("[S]\nA={line}\\\n{line}\\\n{line}\n");
    assert_eq!(lexed(three.as_bytes()).expect("three lines").len(), 1);
}

#[test]
fn first_error_by_line_is_the_one_reported() {
    let long = "x".repeat(2048);
    assert_eq!(error(&format!("[S\n{long}\n")), "unable to find end of section (line 1)");
    assert!(error(&format!("{long}\n[S\n")).starts_with("line too long"));
    assert!(error(&format!("[S]\n{long}\n")).starts_with("line too long"));
    assert!(error(&format!("[S]\nx\n{long}\n")).starts_with("unexpected newline"));
}

#[test]
fn invalid_bytes_are_kept_in_values_and_sections_and_replaced_in_names() {
    let options = lex(b"[\xffS]\nA\xe2\x82=\xe2\x82 \xff\n", LineLimit::Enforced).expect("lexes");
    assert_eq!(
        options,
        [RawOption {
            section: b"\xffS".to_vec(),
            name: "A\u{fffd}\u{fffd}".to_owned(),
            value: b"\xe2\x82 \xff".to_vec(),
        }]
    );
}
