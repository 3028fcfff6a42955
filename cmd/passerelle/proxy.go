package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// proxies are those whose word is taken for where a request comes from.
type proxies []netip.Prefix

func parseProxies(texts []string) (list proxies, err error) {
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, e := netip.ParseAddr(text)
			if e != nil {
				return nil, fmt.Errorf("%w: --trusted-proxy %q is neither an address nor a network such as 10.0.0.0/8", errUsage, text)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		list = append(list, prefix.Masked())
	}
	return list, nil
}

func (p proxies) hold(address netip.Addr) bool {
	return slices.ContainsFunc(p, func(prefix netip.Prefix) bool { return prefix.Contains(address.Unmap().WithZone("")) })
}

// client is the address of who asks: of the connection, or as the last proxy says that is not ours. Anybody can write
// into X-Forwarded-For what they like; each proxy adds to its end whom it heard it from.
func (p proxies) client(r *http.Request) string {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	address := at.Addr()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && p.hold(address); i-- {
		before, err := parseHop(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		address = before
	}
	return address.String()
}

// parseHop reads an address with or without a port.
func parseHop(text string) (netip.Addr, error) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at.Addr(), nil
	}
	return netip.ParseAddr(strings.Trim(text, "[]"))
}
