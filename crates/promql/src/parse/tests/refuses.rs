//! Words and places of errors.

use super::super::{ParseOptions, parse_expr};
use super::refusal;

#[test]
fn words_and_places() {
    for (query, expect) in [
        // Words that do not fit.
        ("", "unknown position: parse error: no expression found in input"),
        ("# nothing", "1:1: parse error: no expression found in input"),
        ("a b", "1:3: parse error: unexpected identifier \"b\""),
        ("a\n+\n* b", "3:1: parse error: unexpected <op:*>"),
        ("a + ", "1:5: parse error: unexpected end of input"),
        ("a:b c:d", "1:5: parse error: unexpected metric identifier \"c:d\""),
        ("a 'text'", "1:3: parse error: unexpected string \"'text'\""),
        ("a 'a very long text'", "1:3: parse error: unexpected string \"'a very lo\"..."),
        ("a 5m", "1:3: parse error: unexpected duration \"5m\""),
        ("a = b", "1:3: parse error: unexpected \"=\""),
        ("a group_left b", "1:3: parse error: unexpected <group_left>"),
        ("a SUM b", "1:3: parse error: unexpected <aggr:SUM>"),
        ("a on(b) c", "1:3: parse error: unexpected <on>"),
        ("a + on c", "1:8: parse error: unexpected identifier \"c\" in grouping opts, expected \"(\""),
        ("a + on(5) c", "1:8: parse error: unexpected number \"5\" in grouping opts, expected label"),
        ("a + on(x y) c", "1:10: parse error: unexpected identifier \"y\" in grouping opts, expected \",\" or \")\""),
        ("a + on(x) group_left", "1:21: parse error: unexpected end of input in grouping opts, expected \"(\""),
        ("a + on(\"\") c", "1:8: parse error: invalid label name for grouping: \"\""),
        ("sum(a b)", "1:7: parse error: unexpected identifier \"b\" in aggregation"),
        ("sum by (x)", "1:11: parse error: unexpected end of input in aggregation"),
        ("abs(a b)", "1:7: parse error: unexpected identifier \"b\""),
        ("abs(a,)", "1:6: parse error: trailing commas not allowed in function call args"),
        ("()", "1:2: parse error: unexpected \")\""),
        // Selectors.
        ("a{b}", "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator"),
        ("a{b=5}", "1:5: parse error: unexpected character inside braces: '5'"),
        ("a{b=c}", "1:5: parse error: unexpected identifier \"c\" in label matching, expected string"),
        ("a{b=\"c\" d=\"e\"}", "1:9: parse error: unexpected identifier \"d\" in label matching, expected \",\" or \"}\""),
        ("a{,}", "1:3: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
        ("a{b=\"c\",,}", "1:9: parse error: unexpected \",\" in label matching, expected identifier or \"}\""),
        ("a{b=~\"[\"}", "1:3: parse error: error parsing regexp: missing closing ]: `[`"),
        ("a{{", "1:3: parse error: unexpected left brace '{'"),
        ("a{", "1:3: parse error: unexpected end of input inside braces"),
        ("a{b!c}", "1:4: parse error: unexpected character after '!' inside braces: 'c'"),
        ("{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("{a=~\".*\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"),
        ("a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        ("a{\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""),
        // Ranges and modifiers.
        ("a[]", "1:3: parse error: unexpected \"]\" in subquery or range selector, expected number, duration, step(), or range()"),
        ("a[5m", "1:5: parse error: unclosed left bracket"),
        ("a[5m 6m]", "1:6: parse error: unexpected duration \"6m\" in subquery or range, expected \":\" or \"]\""),
        ("a[5m:*]", "1:6: parse error: unexpected <op:*> in subquery selector, expected number, duration, step(), range(), or \"]\""),
        ("a[5m:1m 1m]", "1:9: parse error: unexpected duration \"1m\" in subquery selector, expected \"]\""),
        ("a[0]", "1:3: parse error: duration must be greater than 0"),
        ("a[-5m]", "1:3: parse error: duration must be greater than 0"),
        ("a[5x]", "1:3: parse error: bad number or duration syntax: \"5\""),
        ("a[5m[1m]]", "1:5: parse error: unexpected left bracket '['"),
        ("a]", "1:2: parse error: unexpected right bracket ']'"),
        ("a[1m#]", "1:7: parse error: unclosed left bracket"),
        ("a[#]", "1:3: parse error: unexpected character in duration expression: '#'"),
        ("sum(a)[5m]", "1:7: parse error: ranges only allowed for vector selectors"),
        ("a offset 5m[5m]", "1:12: parse error: no offset modifiers allowed before range"),
        ("a @ 5 [5m]", "1:7: parse error: no @ modifiers allowed before range"),
        ("a offset b", "1:10: parse error: unexpected identifier \"b\" in offset, expected number, duration, step(), or range()"),
        ("a offset (5m) + b", "1:17: parse error: unexpected identifier \"b\" in offset, expected number, duration, step(), or range()"),
        ("(a) offset 5m", "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery"),
        ("a @ b", "1:5: parse error: unexpected identifier \"b\" in @, expected timestamp"),
        ("a @ start(5)", "1:11: parse error: unexpected number \"5\" in @, expected timestamp"),
        ("a @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("a @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
        ("a anchored smoothed", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        ("a[5m:1m] smoothed", "1:1: parse error: smoothed modifier is not supported for subqueries"),
        ("a[5m:1m][5m:1m]", "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"),
        // Characters.
        ("a ? b", "1:3: parse error: unexpected character: '?'"),
        ("a ü", "1:3: parse error: unexpected character: 'ü'"),
        ("a ! b", "1:3: parse error: unexpected character after '!': ' '"),
        ("a !", "1:3: parse error: unexpected character after '!': '\u{fffd}'"),
        ("a)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("(a", "1:3: parse error: unclosed left parenthesis"),
        ("\"a", "1:1: parse error: unterminated quoted string"),
        ("'a\nb'", "1:1: parse error: unterminated quoted string"),
        ("'\\u12'", "1:1: parse error: illegal character U+0027 ''' in escape sequence"),
        ("'\\ud800'", "1:1: parse error: escape sequence is an invalid Unicode code point"),
        ("'\\400'", "1:1: parse error: escape sequence is an invalid Unicode code point"),
        ("1e", "1:1: parse error: bad number or duration syntax: \"1e\""),
        ("1__0", "1:1: parse error: bad number or duration syntax: \"1__\""),
        ("0x", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"0x\": invalid syntax"),
        // Types.
        ("rate(a)", "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector"),
        ("abs(1)", "1:5: parse error: expected type instant vector in call to function \"abs\", got scalar"),
        ("label_replace(a)", "1:1: parse error: expected 5 argument(s) in call to \"label_replace\", got 1"),
        ("label_join(a, 'b')", "1:1: parse error: expected at least 3 argument(s) in call to \"label_join\", got 2"),
        ("round(a, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"),
        ("nope(a)", "1:1: parse error: unknown function with name \"nope\""),
        ("Rate(a[5m])", "1:1: parse error: unknown function with name \"Rate\""),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        ("sum(1)", "1:5: parse error: expected type instant vector in aggregation expression, got scalar"),
        ("sum(a, b)", "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 1, got 2"),
        ("topk('x', a)", "1:6: parse error: expected type scalar in aggregation parameter, got string"),
        ("a + 'x'", "1:5: parse error: binary expression must contain only scalar and instant vector types"),
        ("a[5m] + 1", "1:1: parse error: binary expression must contain only scalar and instant vector types"),
        ("1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"),
        ("a + on(x) group_left(x) b", "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"),
        ("a and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("a and on(x) group_left b", "1:1: parse error: no grouping allowed for \"and\" operation"),
        ("a * on(x) 2", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("a or fill(1) b", "1:1: parse error: filling in missing series not allowed for set operators"),
        ("-a[5m]", "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"range vector\""),
    ] {
        assert_eq!(refusal(query), expect, "{query}");
    }
}

#[test]
fn all_errors_in_order() {
    let errors = parse_expr("nope(a) + other(b) +", &ParseOptions::ALL).expect_err("two functions do not exist");
    let messages: Vec<&str> = errors.0.iter().map(|e| e.message.as_str()).collect();
    assert_eq!(messages, ["unknown function with name \"nope\"", "unknown function with name \"other\"", "unexpected end of input"]);
    // Types of a text with other errors are not looked at.
    let errors = parse_expr("rate(a) + nope(b)", &ParseOptions::ALL).expect_err("a function does not exist");
    assert_eq!(errors.0.len(), 1);
}

#[test]
fn inside_a_file() {
    let mut errors = parse_expr("a +\n*", &ParseOptions::ALL).expect_err("an operand is missing");
    errors.0[0].shift_lines(10);
    assert_eq!(errors.to_string(), "12:1: parse error: unexpected <op:*>");
}
