#!/bin/sh
# A CA; two servers' certificates of it; two clients' of it; one that nobody signed. Each file holds the certificate and its key.
set -e
cd "$(dirname "$0")"
key() { openssl ecparam -name prime256v1 -genkey -noout -out key.tmp; }
key
openssl req -x509 -new -key key.tmp -days 36500 -subj "/CN=test CA" -addext "basicConstraints=critical,CA:TRUE" -out ca.pem
mv key.tmp ca.tmp
signed() { # file subject names usage
  key
  openssl req -new -key key.tmp -subj "/CN=$2" -out req.tmp
  printf 'subjectAltName=%s\nextendedKeyUsage=%s\n' "$3" "$4" > ext.tmp
  openssl x509 -req -in req.tmp -CA ca.pem -CAkey ca.tmp -CAcreateserial -days 36500 -extfile ext.tmp -out "$1"
  cat key.tmp >> "$1"
}
signed server.pem first DNS:localhost,IP:127.0.0.1 serverAuth
signed server2.pem second DNS:localhost,IP:127.0.0.1 serverAuth
signed client-a.pem leaf-a DNS:leaf-a.example,URI:spiffe://tree/leaf-a clientAuth
signed client-b.pem leaf-b DNS:leaf-b.example clientAuth
key
openssl req -x509 -new -key key.tmp -days 36500 -subj "/CN=stranger" -addext "subjectAltName=DNS:leaf-a.example" -out stranger.pem
cat key.tmp >> stranger.pem
rm -f ./*.tmp ./*.srl
