//! file, http and docker as Prometheus discovers them; consul and ec2, which the packaged Prometheus was built without, by their documented labels.

use super::{compare, found_alone};
use crate::fake::{Fake, Said};

#[test]
fn files_and_http() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(
        dir.path().join("a.json"),
        r#"[{"targets":["a:1","b:2"],"labels":{"class":"6반","__meta_x":"y"}},{"targets":[]},{"targets":["c"]}]"#,
    )
    .expect("writes");
    std::fs::write(dir.path().join("b.yml"), "- targets: ['d:4']\n  labels: {n: '1'}\n- targets: [e]\n").expect("writes");
    let files = format!("  file_sd_configs:\n  - files: ['{d}/*.json', '{d}/b.yml', '{d}/none-*.yml']\n", d = dir.path().display());
    compare("file", &files, 5);
    let fake = Fake::start(|a| {
        assert_eq!((a.method.as_str(), a.header("accept")), ("GET", "application/json"));
        assert!(!a.header("x-prometheus-refresh-interval-seconds").is_empty());
        Said::json(r#"[{"targets":["h1:1","h2:2"],"labels":{"a":"b","한글":"값"}},{"targets":["h3"],"labels":{}}]"#)
    });
    compare("http", &format!("  http_sd_configs:\n  - url: {}/sd?x=y\n", fake.url()), 3);
}

const CONSUL_SERVICE: &str = r#"[
 {"Node":{"ID":"1","Node":"node-1","Address":"10.0.0.1","Datacenter":"dc1","TaggedAddresses":{"lan":"10.0.0.1","wan_v4":"1.2.3.4"},"Meta":{"rack-id":"r1","empty":""}},
  "Service":{"ID":"web-1","Service":"web","Tags":["v1","blue.green"],"Address":"10.1.0.1","Port":8080,"Meta":{"team.name":"6반"},"Namespace":"default","Partition":"default"},
  "Checks":[{"CheckID":"serfHealth","Status":"passing"},{"CheckID":"c","Status":"warning"}]},
 {"Node":{"ID":"2","Node":"node-2","Address":"fd00::2","Datacenter":"dc1","TaggedAddresses":null,"Meta":null},
  "Service":{"ID":"web-2","Service":"web","Tags":[],"Address":"","Port":0,"Meta":{}},
  "Checks":[{"CheckID":"_node_maintenance","Status":"critical"}]}]"#;

#[test]
fn consul() {
    let fake = Fake::start(|a| {
        let answer = match a.path.as_str() {
            "/v1/agent/self" => r#"{"Config":{"Datacenter":"dc1"}}"#,
            "/v1/catalog/services" => r#"{"web":["v1"],"consul":[]}"#,
            "/v1/health/service/web" => CONSUL_SERVICE,
            _ => "[]",
        };
        if a.param("index").is_some_and(|i| i != "0") {
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        Said::json(answer).with("X-Consul-Index", "7")
    });
    let wanted: &[&[(&str, &str)]] = &[
        &[
            ("__address__", "10.1.0.1:8080"),
            ("__meta_consul_address", "10.0.0.1"),
            ("__meta_consul_dc", "dc1"),
            ("__meta_consul_health", "warning"),
            ("__meta_consul_metadata_rack_id", "r1"),
            ("__meta_consul_namespace", "default"),
            ("__meta_consul_node", "node-1"),
            ("__meta_consul_partition", "default"),
            ("__meta_consul_service", "web"),
            ("__meta_consul_service_address", "10.1.0.1"),
            ("__meta_consul_service_id", "web-1"),
            ("__meta_consul_service_metadata_team_name", "6반"),
            ("__meta_consul_service_port", "8080"),
            ("__meta_consul_tagged_address_lan", "10.0.0.1"),
            ("__meta_consul_tags", ",v1,blue.green,"),
        ],
        &[("__address__", "[fd00::2]:0"), ("__meta_consul_health", "maintenance"), ("__meta_consul_tags", ",,")],
    ];
    found_alone("consul", &format!("  consul_sd_configs:\n  - server: {}\n    refresh_interval: 1s\n", fake.address), wanted);
    found_alone("consul, one service", &format!("  consul_sd_configs:\n  - {{server: '{}', services: [web]}}\n", fake.address), wanted);
}

const CONTAINERS: &str = r#"[
 {"Id":"c1","Names":["/web"],"Image":"nginx:1","ImageID":"sha256:1","Labels":{"com.example.role":"web","empty":""},
  "Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"PrivatePort":443,"Type":"tcp"},{"PrivatePort":53,"Type":"udp"}],
  "HostConfig":{"NetworkMode":"bridge"},
  "NetworkSettings":{"Networks":{"zeta":{"NetworkID":"n2","IPAddress":"172.18.0.2"},"bridge":{"NetworkID":"n1","IPAddress":"172.17.0.2"}}}},
 {"Id":"c2","Names":["/sidecar"],"Image":"x","Labels":{},"Ports":[],"HostConfig":{"NetworkMode":"container:c1"},"NetworkSettings":{"Networks":{}}},
 {"Id":"c3","Names":["/host"],"Image":"y","Labels":null,"Ports":[],"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{"NetworkID":"n3","IPAddress":""}}}},
 {"Id":"c4","Names":["/alone"],"Image":"z","Labels":{"a-b":"c"},"Ports":[],"HostConfig":{"NetworkMode":"bridge"},"NetworkSettings":{"Networks":{"bridge":{"NetworkID":"n1","IPAddress":"172.17.0.9"}}}}]"#;

const NETWORKS: &str = r#"[
 {"Id":"n1","Name":"bridge","Scope":"local","Internal":false,"Ingress":false,"Labels":{"net.a":"b"}},
 {"Id":"n2","Name":"zeta","Scope":"swarm","Internal":true,"Ingress":true,"Labels":{}},
 {"Id":"n3","Name":"host","Scope":"local","Internal":false,"Ingress":false,"Labels":null}]"#;

#[test]
fn docker() {
    let fake = Fake::start(|a| {
        // The Go client puts a version before the path.
        let path = a
            .path
            .split_once("/v1.")
            .and_then(|(_, r)| r.split_once('/'))
            .map_or_else(|| a.path.trim_start_matches('/').to_string(), |(_, p)| p.to_string());
        let said = match path.as_str() {
            "_ping" => Said::text("text/plain", "OK"),
            "containers/json" => Said::json(CONTAINERS),
            "networks" => Said::json(NETWORKS),
            _ => Said::status(404),
        };
        said.with("Api-Version", "1.41").with("Ostype", "linux")
    });
    let sd = |more: &str| format!("  docker_sd_configs:\n  - {{host: 'http://{}', port: 9100{more}}}\n", fake.address);
    compare("docker", &sd(""), 5);
    compare("docker, all networks", &sd(", match_first_network: false, host_networking_host: me"), 8);
}

const INSTANCES: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId><reservationSet>
<item><reservationId>r-1</reservationId><ownerId>111</ownerId><groupSet/><instancesSet>
<item><instanceId>i-1</instanceId><imageId>ami-1</imageId><instanceState><code>16</code><name>running</name></instanceState>
<privateDnsName>ip-10-0-0-1.internal</privateDnsName><dnsName>ec2-1.example</dnsName><instanceType>t3.micro</instanceType>
<placement><availabilityZone>eu-a</availabilityZone></placement><platform>windows</platform><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId>
<privateIpAddress>10.0.0.1</privateIpAddress><ipAddress>1.2.3.4</ipAddress><architecture>x86_64</architecture><instanceLifecycle>spot</instanceLifecycle>
<tagSet><item><key>Name</key><value>web 6반</value></item><item><key>team:x</key><value></value></item></tagSet>
<networkInterfaceSet><item><networkInterfaceId>eni-1</networkInterfaceId><subnetId>subnet-1</subnetId><attachment><deviceIndex>0</deviceIndex></attachment>
<ipv6AddressesSet><item><ipv6Address>2001:db8::1</ipv6Address><isPrimaryIpv6>true</isPrimaryIpv6></item><item><ipv6Address>2001:db8::2</ipv6Address></item></ipv6AddressesSet></item>
<item><networkInterfaceId>eni-2</networkInterfaceId><subnetId>subnet-2</subnetId><attachment><deviceIndex>1</deviceIndex></attachment></item></networkInterfaceSet>
</item></instancesSet></item>
<item><reservationId>r-2</reservationId><ownerId>222</ownerId><instancesSet>
<item><instanceId>i-2</instanceId><imageId>ami-2</imageId><instanceState><code>16</code><name>running</name></instanceState><privateDnsName/>
<instanceType>m5.large</instanceType><placement><availabilityZone>eu-b</availabilityZone></placement><privateIpAddress>10.0.0.2</privateIpAddress></item>
<item><instanceId>i-3</instanceId><imageId>ami-2</imageId><instanceState><code>80</code><name>stopped</name></instanceState></item>
</instancesSet></item></reservationSet></DescribeInstancesResponse>"#;

const ZONES: &str = r#"<DescribeAvailabilityZonesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><availabilityZoneInfo>
<item><zoneName>eu-a</zoneName><zoneId>euw1-az2</zoneId></item><item><zoneName>eu-b</zoneName><zoneId>euw1-az3</zoneId></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>"#;

#[test]
fn ec2() {
    let fake = Fake::start(|a| {
        let form = String::from_utf8_lossy(&a.body).into_owned();
        assert!(a.header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=AK/"), "{a:?}");
        Said::text("text/xml", if form.contains("DescribeAvailabilityZones") { ZONES } else { INSTANCES })
    });
    let wanted: &[&[(&str, &str)]] = &[
        &[
            ("__address__", "10.0.0.1:9100"),
            ("__meta_ec2_ami", "ami-1"),
            ("__meta_ec2_architecture", "x86_64"),
            ("__meta_ec2_availability_zone", "eu-a"),
            ("__meta_ec2_availability_zone_id", "euw1-az2"),
            ("__meta_ec2_instance_id", "i-1"),
            ("__meta_ec2_instance_lifecycle", "spot"),
            ("__meta_ec2_instance_state", "running"),
            ("__meta_ec2_instance_type", "t3.micro"),
            ("__meta_ec2_ipv6_addresses", ",2001:db8::1,2001:db8::2,"),
            ("__meta_ec2_owner_id", "111"),
            ("__meta_ec2_platform", "windows"),
            ("__meta_ec2_primary_ipv6_addresses", ",2001:db8::1,"),
            ("__meta_ec2_primary_subnet_id", "subnet-1"),
            ("__meta_ec2_private_dns_name", "ip-10-0-0-1.internal"),
            ("__meta_ec2_private_ip", "10.0.0.1"),
            ("__meta_ec2_public_dns_name", "ec2-1.example"),
            ("__meta_ec2_public_ip", "1.2.3.4"),
            ("__meta_ec2_region", "eu-west-1"),
            ("__meta_ec2_subnet_id", ",subnet-1,subnet-2,"),
            ("__meta_ec2_tag_Name", "web 6반"),
            ("__meta_ec2_vpc_id", "vpc-1"),
        ],
        &[("__address__", "10.0.0.2:9100"), ("__meta_ec2_availability_zone_id", "euw1-az3"), ("__meta_ec2_owner_id", "222")],
    ];
    let sd = format!("  ec2_sd_configs:\n  - {{region: eu-west-1, endpoint: '{}', access_key: AK, secret_key: SK, port: 9100}}\n", fake.url());
    found_alone("ec2", &sd, wanted);
}
