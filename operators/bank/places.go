package bank

import (
	"net/url"
	"slices"
)

// Places are the origins to which a bank may send a person's browser, for a page's policy (CSP form-action).
func (p *Profile) Places() []string {
	scheme, hosts := "https", slices.Clone(p.Hosts)
	if u, err := url.Parse(p.API); err == nil {
		scheme, hosts = u.Scheme, append(hosts, u.Host)
	}
	for i := range hosts {
		hosts[i] = scheme + "://" + hosts[i]
	}
	return hosts
}
