use super::alternative_names;

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        n @ 0..=0x7f => out.push(n as u8),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend(content);
    out
}

fn certificate(names: &[u8], critical: bool) -> Vec<u8> {
    let mut san = der(0x06, &[0x55, 0x1d, 0x11]);
    if critical {
        san.extend(der(0x01, &[0xff]));
    }
    san.extend(der(0x04, &der(0x30, names)));
    let other = der(0x30, &[der(0x06, &[0x55, 0x1d, 0x0f]), der(0x04, &[3, 2, 5, 0xa0])].concat());
    let extensions = der(0xa3, &der(0x30, &[other, der(0x30, &san)].concat()));
    let body = [der(0x02, &[1]), der(0x30, &[0; 200]), extensions].concat();
    der(0x30, &[der(0x30, &body), der(0x30, &[]), der(0x03, &[0; 64])].concat())
}

#[test]
fn all_kinds_of_names() {
    let names = [
        der(0x82, b"leaf-a.example"),
        der(0x81, b"who@example"),
        der(0x86, b"spiffe://tree/leaf-a"),
        der(0x87, &[10, 0, 0, 7]),
        der(0x87, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        der(0xa4, b"a directory name"),
    ]
    .concat();
    let want = ["leaf-a.example", "who@example", "spiffe://tree/leaf-a", "10.0.0.7", "::1"];
    for critical in [false, true] {
        assert_eq!(alternative_names(&certificate(&names, critical)), want);
    }
}

#[test]
fn damaged_ones_have_no_names_and_never_panic() {
    let whole = certificate(&der(0x82, b"leaf-a.example"), true);
    for cut in 0..whole.len() {
        let _ = alternative_names(&whole[..cut]);
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[cut] ^= 1 << bit;
            let _ = alternative_names(&damaged);
        }
    }
    assert!(alternative_names(&whole[..whole.len() / 2]).is_empty());
    assert!(alternative_names(b"").is_empty());
}
