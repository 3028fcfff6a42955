package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/passerelle-cloud/passerelle/operators/bank/banktest"
)

// certificates makes all that a developer needs to speak to a bank that wants certificates and signatures.
func certificates(args []string, out, faults io.Writer) error {
	flags := flag.NewFlagSet("passerelle-bank certificates", flag.ContinueOnError)
	flags.SetOutput(faults)
	dir := flags.String("out", "certificates", "folder to make them in")
	organisation := flags.String("organisation", "PSDFR-ACPR-12345", "organizationIdentifier of the third party")
	name := flags.String("name", "Sandbox Reader SAS", "name of the third party")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := os.MkdirAll(*dir, 0o700); err != nil {
		return err
	}
	now := time.Now()
	authority, err := banktest.NewAuthority(now)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(*dir, "ca.pem"), banktest.CertificatePEM(authority.Certificate), 0o600); err != nil {
		return err
	}
	fmt.Fprintln(out, "ca.pem: the authority, for --roots and for curl --cacert")
	for _, one := range []struct {
		file, what string
		is         banktest.For
	}{
		{"server", "of the bank, for --tls-cert and --tls-key", banktest.For{Name: "localhost", Hosts: []string{"localhost", "127.0.0.1", "::1"}}},
		{"qwac", "the third party's, for connections", banktest.For{Organisation: *organisation, Name: *name}},
		{"qseal", "the third party's, for signatures", banktest.For{Organisation: *organisation, Name: *name, Seal: true}},
		{"qwac-expired", "it has ended", banktest.For{Organisation: *organisation, Name: *name, From: now.Add(-20 * time.Hour), Until: now.Add(-time.Hour)}},
		{"qseal-expired", "it has ended", banktest.For{Organisation: *organisation, Name: *name, Seal: true, From: now.Add(-20 * time.Hour), Until: now.Add(-time.Hour)}},
		{"qwac-wrong-role", "it is for payments only (PSP_PI)", banktest.For{Organisation: *organisation, Name: *name, Roles: []int{2}}},
		{"qseal-wrong-role", "it is for payments only (PSP_PI)", banktest.For{Organisation: *organisation, Name: *name, Roles: []int{2}, Seal: true}},
		{"qwac-other", "of another third party", banktest.For{Organisation: "PSDDE-BAFIN-67890", Name: "Other Reader GmbH"}},
	} {
		issued, err := authority.Issue(now, one.is)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(*dir, one.file), issued); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s.pem, %s-key.pem: %s\n", one.file, one.file, one.what)
	}
	return nil
}

func write(base string, issued *banktest.Issued) error {
	cert, key, err := issued.PEM()
	if err != nil {
		return err
	}
	if err := os.WriteFile(base+".pem", cert, 0o600); err != nil {
		return err
	}
	return os.WriteFile(base+"-key.pem", key, 0o600)
}
