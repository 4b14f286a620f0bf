use super::xml;
use crate::tests::Running;
use crate::testserver::{Say, serve};
use proptest::prelude::*;

const INSTANCES: &str = r#"<?xml version="1.0"?><DescribeInstancesResponse xmlns="x"><reservationSet><item><ownerId>o1</ownerId><instancesSet>
<item><instanceId>i-1</instanceId><privateIpAddress>10.0.0.1</privateIpAddress><privateDnsName>p</privateDnsName><imageId>ami</imageId>
<ipAddress>1.2.3.4</ipAddress><dnsName>pub</dnsName><placement><availabilityZone>eu-1a</availabilityZone></placement><instanceState><name>running</name></instanceState>
<instanceType>m1</instanceType><architecture>arm64</architecture><vpcId>v</vpcId><subnetId>s1</subnetId>
<networkInterfaceSet><item><subnetId>s1</subnetId><attachment><deviceIndex>1</deviceIndex></attachment>
<ipv6AddressesSet><item><ipv6Address>fe80::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item></ipv6AddressesSet></item></networkInterfaceSet>
<tagSet><item><key>Name:x</key><value>a &amp; b</value></item></tagSet></item><item><instanceId>i-2</instanceId></item>
</instancesSet></item></reservationSet>NEXT</DescribeInstancesResponse>"#;

#[tokio::test]
async fn instances_become_targets() {
    let url = serve(|r| {
        let authorization = String::from_utf8_lossy(r.headers()["authorization"].as_bytes()).into_owned();
        assert!(authorization.contains("/eu-1/ec2/aws4_request"), "{authorization}");
        let form = String::from_utf8_lossy(r.body()).into_owned();
        if form.contains("Action=DescribeAvailabilityZones") {
            let text = "<R><availabilityZoneInfo><item><zoneName>eu-1a</zoneName><zoneId>euw-az1</zoneId></item></availabilityZoneInfo></R>";
            return Say::Json(text.into());
        }
        assert!(form.contains("&Filter.1.Name=tag%3Ax&Filter.1.Value.1=y"), "{form}");
        if form.contains("NextToken=more") {
            Say::Json("<R><reservationSet/></R>".into())
        } else {
            Say::Json(INSTANCES.replace("NEXT", "<nextToken>more</nextToken>"))
        }
    })
    .await;
    let r = Running::new();
    let text = format!(
        "ec2_sd_configs: [{{endpoint: '{url}', region: eu-1, access_key: k, secret_key: s, port: 9100, filters: [{{name: 'tag:x', values: [y]}}]}}]"
    );
    r.apply(&[("e", &text)]);
    r.shows("e", &["eu-1 10.0.0.1:9100 {}"]).await;
    let target = r.manager.snapshot()["e"][0].targets[0].to_string().replace("__meta_ec2_", "~");
    assert_eq!(
        target,
        r#"{__address__="10.0.0.1:9100", ~ami="ami", ~architecture="arm64", ~availability_zone="eu-1a", ~availability_zone_id="euw-az1", ~default_ipv6_address="fe80::1", ~instance_id="i-1", ~instance_state="running", ~instance_type="m1", ~ipv6_addresses=",fe80::1,", ~owner_id="o1", ~primary_ipv6_addresses=",,fe80::1,", ~primary_subnet_id="s1", ~private_dns_name="p", ~private_ip="10.0.0.1", ~public_dns_name="pub", ~public_ip="1.2.3.4", ~region="eu-1", ~subnet_id=",s1,", ~tag_Name_x="a & b", ~vpc_id="v"}"#
    );
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[<>/a-c &;#x0-9!?-]{0,60}") {
        let _ = xml::parse(&text);
    }
}
