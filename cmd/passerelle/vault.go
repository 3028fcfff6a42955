package main

import (
	"time"

	"github.com/passerelle-cloud/passerelle/operators/keys"
)

// vaultFlags say which Vault keeps the keys, if any does. What is secret is given in files, or in the environment.
type vaultFlags struct {
	Address      string        `help:"URL of a HashiCorp Vault that keeps the keys, in the place of files; more flags are in operators/keys/README.md." env:"PASSERELLE_VAULT_ADDRESS" placeholder:"URL"`
	Namespace    string        `hidden:"" help:"Namespace (Vault Enterprise)." env:"PASSERELLE_VAULT_NAMESPACE" placeholder:"NAME"`
	RoleID       string        `hidden:"" name:"role-id" help:"Role id of the AppRole that this gateway logs in with." env:"PASSERELLE_VAULT_ROLE_ID" placeholder:"ID"`
	SecretIDFile string        `hidden:"" name:"secret-id-file" help:"File with the AppRole's secret id, which is read at each login." env:"PASSERELLE_VAULT_SECRET_ID_FILE" type:"path" placeholder:"FILE"`
	Token        string        `hidden:"" help:"A token, in the place of an AppRole. Better given in the environment." env:"PASSERELLE_VAULT_TOKEN" placeholder:"TOKEN"`
	CACert       string        `hidden:"" name:"ca-cert" help:"File with the certificates (PEM) that vouch for the Vault's." env:"PASSERELLE_VAULT_CA_CERT" type:"path" placeholder:"FILE"`
	Transit      string        `hidden:"" help:"Where the transit engine is mounted; transit if not given." env:"PASSERELLE_VAULT_TRANSIT" placeholder:"PATH"`
	KV           string        `hidden:"" name:"kv" help:"Where the key-value engine (version 2) is mounted; secret if not given." env:"PASSERELLE_VAULT_KV" placeholder:"PATH"`
	AppRole      string        `hidden:"" name:"approle" help:"Where AppRole is mounted; approle if not given." env:"PASSERELLE_VAULT_APPROLE" placeholder:"PATH"`
	Prefix       string        `hidden:"" help:"Beginning of all names in the Vault, for operators that share one; passerelle if not given." env:"PASSERELLE_VAULT_PREFIX" placeholder:"NAME"`
	Timeout      time.Duration `hidden:"" help:"How long a request to the Vault may take; 5s if not given." env:"PASSERELLE_VAULT_TIMEOUT" placeholder:"TIME"`
}

func (f *vaultFlags) config() keys.VaultConfig {
	return keys.VaultConfig{Address: f.Address, Namespace: f.Namespace, RoleID: f.RoleID, SecretIDFile: f.SecretIDFile, Token: f.Token,
		CACert: f.CACert, Transit: f.Transit, KV: f.KV, AppRole: f.AppRole, Prefix: f.Prefix, Timeout: f.Timeout}
}
