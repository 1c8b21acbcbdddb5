//! The vectors of `units.md` 1.

use super::*;

/// What lexes of `text`, as `(section, name, value)`.
fn lexed(text: &[u8]) -> Result<Vec<(String, String, String)>, LexError> {
    let string = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let options = lex(text, Rules::Ours)?;
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
    check(
        "[Service]\nA=b\\\n[Foo]\nC=d\n",
        &[("Service", "A", "b\\\n[Foo]"), ("Service", "C", "d")],
    );
    check("[Service]\nA=b\\\n   \nC=d\n", &[("Service", "A", "b\\\n"), ("Service", "C", "d")]);
    check("[Service]\nA=b\\\n\nC=d\n", &[("Service", "A", "b\\\n"), ("Service", "C", "d")]);
    check("[Service]\nA=b\\\n", &[("Service", "A", "b\\\n")]);
    check("[Service]\nA=b\\", &[("Service", "A", "b\\")]);
    check("[Service]\nA=b\\\r", &[("Service", "A", "b\\")]);
    check("[Service]\nExecStop=\\\necho foo\n", &[("Service", "ExecStop", "\\\necho foo")]);
    check("[Service]\nA=b\\\n  c\\\n d\n", &[("Service", "A", "b\\\n  c\\\n d")]);
}

#[test]
fn two_backslashes_end_a_line() {
    for (value, next) in
        [("b\\\\", true), ("b\\\\\\\\", true), ("b\\\\\\", false), ("\\\\  ", true)]
    {
        let expected = match next {
            true => vec![("S", "A", value.trim_end()), ("S", "C", "d")],
            false => vec![("S", "A", "b\\\\\\\nC=d")],
        };
        check(&format!("[S]\nA={value}\nC=d\n"), &expected);
    }
}

#[test]
fn comments_within_a_value_are_skipped() {
    check("[S]\nA=b\\\n# c\nC=d\n", &[("S", "A", "b\\\nC=d")]);
    check(
        "[S]\nA=b\\\n# c \\\n\t;\n c\\\n#\n d\nE=f\n",
        &[("S", "A", "b\\\n c\\\n d"), ("S", "E", "f")],
    );
    check("[S]\nA=b\\\n# c\n\nC=d\n", &[("S", "A", "b\\\n"), ("S", "C", "d")]);
    check("[S]\nA=b\\\n# c", &[("S", "A", "b\\\n")]);
    check("[S]\nA=# b\n", &[("S", "A", "# b")]);
    let contcomment = concat!(
        "[Service]\nExecStart=/bin/sh -c \"echo one; \\\n# a comment \\\n",
        "  echo two; \\\n; another\n  exec sleep infinity\"\n",
    );
    let joined = "/bin/sh -c \"echo one; \\\n  echo two; \\\n  exec sleep infinity\"";
    check(contcomment, &[("Service", "ExecStart", joined)]);
}

#[test]
fn option_after_a_backslash_and_blanks_is_joined_as_it_was_in_the_original() {
    let bsblank = concat!(
        "[Service]\nType=oneshot\nExecStart=/bin/echo started \\   \n",
        "  --name=web \\\n  --rm image\n\n[X-Fleet]\nGlobal=false\n",
    );
    let joined = "/bin/echo started \\\n--name=web \\\n  --rm image";
    check(
        bsblank,
        &[
            ("Service", "Type", "oneshot"),
            ("Service", "ExecStart", joined),
            ("X-Fleet", "Global", "false"),
        ],
    );
    check("[S]\nA=b \\ \nC=d\n", &[("S", "A", "b \\\nC=d")]);
    check(
        "[S]\nA=b\\\t\n# e\n  C = d \\ \nE= \nF=\n",
        &[("S", "A", "b\\\nC=d \\\nE="), ("S", "F", "")],
    );
    check("[S]\nA=b\\ ", &[("S", "A", "b\\")]);
    for next in
        ["", "\n", "  --rm\n", "\nC=d\n", " [S]\nC=d\n", "[S=]\n", "  \n[S]\nC=d\n", "x\rC=d\n"]
    {
        let expected =
            "backslash at the end of a line is followed by blanks (line 3, section \"S\")";
        assert_eq!(error(&format!("[S]\nA=b\\\nc \\ \n{next}")), expected, "{next:?}");
    }
}

#[test]
fn what_would_end_a_line_for_systemd_is_refused_within_one() {
    for (text, character, line) in [
        ("[S]\nA=x\r[Service]\rExecStart=/evil\n", r"'\r'", 2),
        ("[S]\nA=b\nA=x\0[Service]\n", r"'\x00'", 3),
        ("[S]\nA=x\0\n", r"'\x00'", 2),
        ("[S]\nA\0=x\n", r"'\x00'", 2),
        ("[S]\nA=b\\\n\rC=d\n", r"'\r'", 3),
        ("[S]\nA=b\\\n c\rd\n", r"'\r'", 3),
        ("[S]\nA=b\\ \n\0C=d\n", r"'\x00'", 3),
        ("[S]\nA=b\\ \nC=d\re\n", r"'\r'", 3),
    ] {
        let expected = format!(
            "character {character} ends a line for systemd, here it is inside of one (line {line}, \
             section \"S\")"
        );
        assert_eq!(error(text), expected, "{text:?}");
    }
    // At the edges it is a blank as any other, and goes.
    check("[S]\nA=\rb\r\r\n", &[("S", "A", "b")]);
    check("[S]\n\rA=b\n# c\rd\0\n", &[("S", "A", "b")]);
}

#[test]
fn stored_texts_are_read_as_the_original_did() {
    for (text, options) in [
        ("[S]\nA=b\\\\\nC=d\n", &[("A", "b\\\\\nC=d")][..]),
        ("[S]\nA=b\\\n# c\nC=d\n", &[("A", "b\\\n# c"), ("C", "d")]),
        ("[S]\nA=b \\ \nC=d\n", &[("A", "b \\"), ("C", "d")]),
        ("[S]\n# c \\\nA=b\nC=d\n", &[("C", "d")]),
        ("[S]\nA=b\rC=d\0\n", &[("A", "b\rC=d\0")]),
    ] {
        let lexed = lex(text.as_bytes(), Rules::Original).expect(text);
        let lexed: Vec<_> = lexed
            .iter()
            .map(|option| (option.name.as_str(), std::str::from_utf8(&option.value).expect(text)))
            .collect();
        assert_eq!(lexed, options, "{text:?}");
    }
    let spanning = lex(b"[Service\nA=b\n[Foo]\nC=d\n", Rules::Original).expect("lexes");
    assert_eq!(spanning[0].section, b"Service\nA=b\n[Foo");
    let long = format!("[S]\nA={}\n", "x".repeat(LINE_LIMIT));
    assert_eq!(lex(long.as_bytes(), Rules::Original).expect("lexes").len(), 1);
}

#[test]
fn sections_are_taken_verbatim() {
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
    check("# c \\\n[A]\nC=d\n", &[("A", "C", "d")]);
}

#[test]
fn comments_end_with_their_line() {
    for comment in ["# c \\", "; c \\", "# c \\ ", "# c \\  ", "# c \\\t", "# c"] {
        check(&format!("[S]\n{comment}\nA=b\n"), &[("S", "A", "b")]);
    }
    check("[S]\n#\\", &[]);
}

#[test]
fn crlf_counts_as_lf() {
    check("[Service]\r\nA=b\r\nC=d\r\n", &[("Service", "A", "b"), ("Service", "C", "d")]);
    check("[S]\r\nA=b\\\r\n c\r\nD=e\r\n", &[("S", "A", "b\\\n c"), ("S", "D", "e")]);
}

#[test]
fn errors_say_what_and_where() {
    for (text, expected) in [
        ("[Service", "unable to find end of section (line 1)"),
        ("[Service\nA=b\n[Foo]\nC=d\n", "unable to find end of section (line 1)"),
        ("[A]\n[Service\rB]\n", "unable to find end of section (line 2)"),
        ("[A]\nB=c\n[Service\n", "unable to find end of section (line 3)"),
        ("[Service]foo\n", r#"found garbage after section name "Service": [102 111 111] (line 1)"#),
        ("[Service] # x\n", r#"found garbage after section name "Service": [35 32 120] (line 1)"#),
        ("\n[[X]]\n", r#"found garbage after section name "[X": [93] (line 2)"#),
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
fn physical_lines_are_shorter_than_a_mebibyte() {
    let ok = "x".repeat(LINE_LIMIT - 1);
    let long = "x".repeat(LINE_LIMIT);
    let too_long = |line| format!("line too long (max 1048576 bytes) (line {line})");
    check(&format!("{ok}\n[S]\n#{}\n", &ok[1..]), &[]);
    check(&format!("{ok}\r{ok}\n"), &[]);
    assert_eq!(error(&long), too_long(1));
    assert_eq!(error(&format!("[S]\n#{ok}\n")), too_long(2));
    assert_eq!(error(&format!("[S]\nA=b\n{}\n", " ".repeat(LINE_LIMIT))), too_long(3));
    assert_eq!(error(&format!("[S]\n{ok}A=b\r\n")), too_long(2));

    let line = "y".repeat(LINE_LIMIT * 2 / 3);
    let two = format!("[S]\nA={line}\\\n{line}\n");
    assert_eq!(lexed(two.as_bytes()).expect("two lines").len(), 1);
}

#[test]
fn first_error_by_line_is_the_one_reported() {
    let long = "x".repeat(LINE_LIMIT);
    assert_eq!(error(&format!("[S\n{long}\n")), "unable to find end of section (line 1)");
    assert!(error(&format!("{long}\n[S\n")).starts_with("line too long"));
    assert!(error(&format!("[S]\n{long}\n")).starts_with("line too long"));
    assert!(error(&format!("[S]\nx\n{long}\n")).starts_with("unexpected newline"));
}

#[test]
fn invalid_bytes_are_kept_in_values_and_sections_and_replaced_in_names() {
    let options = lex(b"[\xffS]\nA\xe2\x82=\xe2\x82 \xff\n", Rules::Ours).expect("lexes");
    assert_eq!(
        options,
        [RawOption {
            line: 2,
            section: b"\xffS".to_vec(),
            name: "A\u{fffd}\u{fffd}".to_owned(),
            value: b"\xe2\x82 \xff".to_vec(),
        }]
    );
}
