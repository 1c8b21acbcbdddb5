//! Reads tables of the documents, so that pages say the same.

/// The rows below a table's `head`: its first cell, and the text of the others. A cell between two
/// is a default, which the text then ends with.
pub(crate) fn rows(markdown: &str, head: &[&str]) -> Vec<(String, String)> {
    let table = markdown.lines().skip_while(|line| cells(line) != head);
    table
        .skip(2)
        .map_while(|line| match &*cells(line) {
            [name, "", meaning] | [name, meaning] => Some((name.to_string(), meaning.to_string())),
            [name, default, meaning] => {
                Some((name.to_string(), format!("{meaning}. Default: {default}")))
            }
            _ => None,
        })
        .map(|(name, text)| (plain(&name), plain(&text)))
        .collect()
}

fn cells(line: &str) -> Vec<&str> {
    let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
        return Vec::new();
    };
    row.split('|').map(str::trim).collect()
}

fn plain(text: &str) -> String {
    text.replace('`', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_of_the_table_with_that_head() {
        let text = "# T\n\n| x | y |\n| --- | --- |\n| no | no |\n\n\
                    | option | default | meaning |\n| --- | --- | --- |\n\
                    | `a`, `b` | | both `x` |\n| `c` | `1.0` | seconds |\n\ntext\n| `d` | | no |\n";
        let expected = [("a, b", "both x"), ("c", "seconds. Default: 1.0")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(rows(text, &["option", "default", "meaning"]), expected);
        assert_eq!(rows(text, &["x", "y"]), [("no".to_owned(), "no".to_owned())]);
        assert!(rows("no table", &["x", "y"]).is_empty());
    }
}
