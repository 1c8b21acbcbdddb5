//! The layout of tables: cells padded with TABs (`fleetctl.md` 6.1).

use crate::ui::tame;

/// Column widths are multiples of this, as terminals' TAB stops are.
const STOP: usize = 8;

/// Lays out `rows`; the last cell of a row isn't padded, and none breaks the table.
pub(crate) fn layout(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| tame(cell)).collect()).collect();
    let widths = widths(&rows);
    let mut text = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if column + 1 < row.len() {
                let rest = widths[column] - cell.chars().count();
                text.extend(std::iter::repeat_n('\t', rest.div_ceil(STOP)));
            }
        }
        text.push('\n');
    }
    text
}

/// The longest cell and a blank, rounded up to the next stop.
fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let longest = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    (0..columns)
        .map(|column| (longest(column).unwrap_or_default() + 1).next_multiple_of(STOP))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(rows: &[&[&str]]) -> String {
        let rows: Vec<Vec<String>> =
            rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        layout(&rows).replace('\t', "→")
    }

    #[test]
    fn columns_are_as_wide_as_the_next_stop() {
        let text =
            laid_out(&[&["UNIT", "MACHINE", "SUB"], &["1234567", "", "x"], &["éééééééé", "m", ""]]);
        assert_eq!(text, "UNIT→→MACHINE→SUB\n1234567→→→x\néééééééé→m→\n");
    }

    #[test]
    fn a_single_column_has_no_tab_and_no_row_is_nothing() {
        assert_eq!(laid_out(&[&["A"], &["long enough"]]), "A\nlong enough\n");
        assert_eq!(laid_out(&[]), "");
    }

    #[test]
    fn control_characters_become_blanks() {
        assert_eq!(laid_out(&[&["a\tb\nc\u{7f}", "d"]]), "a b c →d\n");
    }
}
