package keys

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/passerelle-cloud/passerelle/formats"
)

// VaultConfig says which Vault keeps the keys, and how the gateway signs in there. Address and either Token or RoleID
// with a secret id must be given. Nothing is taken from the environment.
type VaultConfig struct {
	Address   string // https://host:port
	Namespace string // Vault Enterprise only
	Transit   string // where the transit engine is mounted; "transit" if empty
	KV        string // where version 2 of the key-value engine is mounted; "secret" if empty
	// Prefix begins the names of everything that the gateway keeps in this Vault, "passerelle" if empty. Operators
	// that share a Vault have different ones: lower-case letters and digits, with single dots or underscores between.
	Prefix string

	Token        string `json:"-"` // instead of AppRole
	AppRole      string // where the AppRole method is mounted; "approle" if empty
	RoleID       string
	SecretID     string `json:"-"`
	SecretIDFile string // read at each login, so that a new secret id is found; only its owner may read it

	CACert  string        // path of PEM certificates; those of the system if empty
	Timeout time.Duration // of a request; 5 s if zero
	// Grace is how long a retired key that was not revoked can still sign, for work that has begun; 24 h if zero. Then
	// it is destroyed.
	Grace time.Duration

	Log *slog.Logger `json:"-"` // told of failed renewals and other trouble in the background; nobody if nil
}

// String leaves out what is secret.
func (c VaultConfig) String() string {
	return fmt.Sprintf("Vault at %s, namespace %q, transit %s, kv %s, prefix %s", c.Address, c.Namespace, c.Transit, c.KV, c.Prefix)
}

// GoString leaves out what is secret.
func (c VaultConfig) GoString() string { return c.String() }

// LogValue leaves out what is secret.
func (c VaultConfig) LogValue() slog.Value { return slog.StringValue(c.String()) }

// withDefaults fills in what was left empty.
func (c VaultConfig) withDefaults() VaultConfig {
	for _, d := range []struct {
		field *string
		value string
	}{{&c.Transit, "transit"}, {&c.KV, "secret"}, {&c.Prefix, "passerelle"}, {&c.AppRole, "approle"}} {
		*d.field = strings.Trim(*d.field, "/")
		if *d.field == "" {
			*d.field = d.value
		}
	}
	c.Address = strings.TrimRight(c.Address, "/")
	c.Namespace = strings.Trim(c.Namespace, "/")
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = 24 * time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

var (
	vaultPrefix = regexp.MustCompile(`^[a-z0-9]+([._][a-z0-9]+)*$`)
	vaultMount  = regexp.MustCompile(`^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)*$`)
)

// Validate names everything that is wrong with the configuration. Errors wrap formats.ErrInvalid.
func (c VaultConfig) Validate() error {
	c = c.withDefaults()
	var faults []string
	refuse := func(bad bool, what string) {
		if bad {
			faults = append(faults, what)
		}
	}
	u, err := url.Parse(c.Address)
	refuse(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.Path != "" || u.RawQuery != "" || u.Fragment != "",
		"the address is https://host:port and nothing else")
	refuse(err == nil && u.User != nil, "the address holds no name nor password: sign in by AppRole or token")
	refuse(!vaultMount.MatchString(c.Transit), "the transit mount is a path like transit")
	refuse(!vaultMount.MatchString(c.KV), "the KV mount is a path like secret")
	refuse(!vaultMount.MatchString(c.AppRole), "the AppRole mount is a path like approle")
	refuse(c.Namespace != "" && !vaultMount.MatchString(c.Namespace), "the namespace is a path like team/gateway")
	refuse(len(c.Prefix) > 60 || !vaultPrefix.MatchString(c.Prefix),
		"the prefix is at most 60 lower-case letters and digits, with single dots or underscores between")
	refuse(c.Token == "" && c.RoleID == "", "give a role id with a secret id (or the file of one), or a token")
	refuse(c.Token != "" && c.RoleID != "", "give either a token or a role id, not both")
	refuse(c.RoleID != "" && (c.SecretID == "") == (c.SecretIDFile == ""), "give either the secret id of the role or the file that holds it")
	refuse(c.Timeout < 0 || c.Grace < 0, "timeout and grace are not negative")
	if faults == nil {
		return nil
	}
	return fmt.Errorf("%w: configuration of Vault: %s", formats.ErrInvalid, strings.Join(faults, "; "))
}

// inTheClear reports whether keys would cross a network unencrypted.
func (c VaultConfig) inTheClear() bool {
	u, err := url.Parse(c.Address)
	if err != nil || u.Scheme == "https" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback())
}

// httpClient trusts the certificates that are configured, and follows no redirect by itself.
func (c VaultConfig) httpClient() (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 32
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CACert != "" {
		pem, err := os.ReadFile(c.CACert)
		if err != nil {
			return nil, fmt.Errorf("read the certificates of Vault: %w", err)
		}
		transport.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%w: %s holds no certificate in PEM", formats.ErrInvalid, c.CACert)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// secretID returns the secret id, from its file if there is one.
func (c VaultConfig) secretID() (string, error) {
	if c.SecretIDFile == "" {
		return c.SecretID, nil
	}
	file, err := os.Open(c.SecretIDFile)
	if err != nil {
		return "", fmt.Errorf("read the secret id: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("read the secret id: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("%w: %s has mode %04o; run: chmod 600 %[2]s, and give it a new secret id", ErrExposed, c.SecretIDFile, info.Mode().Perm())
	}
	data, err := io.ReadAll(io.LimitReader(file, maxPrivate))
	if err != nil {
		return "", fmt.Errorf("read the secret id: %w", err)
	}
	id := strings.TrimSpace(string(data))
	if id == "" {
		return "", errors.New("the file of the secret id is empty: " + c.SecretIDFile)
	}
	return id, nil
}
