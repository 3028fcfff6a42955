package banktest

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"
)

// What follows is as much of ISO 20022 camt.053.001.02 as a bank in France sends.

type camtDocument struct {
	XMLName xml.Name      `xml:"urn:iso:std:iso:20022:tech:xsd:camt.053.001.02 Document"`
	Message camtStatement `xml:"BkToCstmrStmt"`
}

type camtStatement struct {
	ID      string `xml:"GrpHdr>MsgId"`
	Created string `xml:"GrpHdr>CreDtTm"`

	Statement struct {
		ID       string        `xml:"Id"`
		Created  string        `xml:"CreDtTm"`
		From     string        `xml:"FrToDt>FrDtTm"`
		To       string        `xml:"FrToDt>ToDtTm"`
		Account  camtAccount   `xml:"Acct"`
		Balances []camtBalance `xml:"Bal"`
		Entries  []camtEntry   `xml:"Ntry"`
	} `xml:"Stmt"`
}

type camtAccount struct {
	IBAN     string `xml:"Id>IBAN"`
	Currency string `xml:"Ccy,omitempty"`
}

type camtAmount struct {
	Currency string `xml:"Ccy,attr"`
	Value    string `xml:",chardata"`
}

type camtBalance struct {
	Code   string     `xml:"Tp>CdOrPrtry>Cd"`
	Amount camtAmount `xml:"Amt"`
	Sign   string     `xml:"CdtDbtInd"`
	Date   string     `xml:"Dt>Dt"`
}

type camtEntry struct {
	Reference string     `xml:"NtryRef,omitempty"`
	Amount    camtAmount `xml:"Amt"`
	Sign      string     `xml:"CdtDbtInd"`
	Status    string     `xml:"Sts"`
	Booked    string     `xml:"BookgDt>Dt"`
	Value     string     `xml:"ValDt>Dt"`
	Service   string     `xml:"AcctSvcrRef,omitempty"`
	Domain    string     `xml:"BkTxCd>Domn>Cd"`
	Family    string     `xml:"BkTxCd>Domn>Fmly>Cd"`
	SubFamily string     `xml:"BkTxCd>Domn>Fmly>SubFmlyCd"`
	Details   struct {
		EndToEnd string     `xml:"Refs>EndToEndId"`
		Mandate  string     `xml:"Refs>MndtId,omitempty"`
		Creditor *camtParty `xml:"RltdPties>Cdtr"`
		Debtor   *camtParty `xml:"RltdPties>Dbtr"`
		Text     string     `xml:"RmtInf>Ustrd"`
	} `xml:"NtryDtls>TxDtls"`
}

type camtParty struct {
	Name string `xml:"Nm"`
}

// statement is all that was asked for in one message: camt.053 has no pages here.
func (b *Bank) statement(r *reading, a *Account, q *query, list []*Operation) (*reply, error) {
	now := b.now()
	var d camtDocument
	d.Message.ID, d.Message.Created = strings.ReplaceAll(newID(), "-", ""), now.Format(time.RFC3339)
	s := &d.Message.Statement
	s.ID, s.Created = d.Message.ID, d.Message.Created
	if len(list) > 0 {
		s.From = string(list[len(list)-1].Booked) + "T00:00:00"
	}
	s.From, s.To = max(s.From, string(q.from)+"T00:00:00"), string(q.to)+"T00:00:00"
	s.Account = camtAccount{a.IBAN, a.Currency}
	closing := a.balance(false)
	for _, o := range a.operations {
		if o.Status == "booked" && o.Booked > q.to {
			closing -= o.Amount
		}
	}
	opening := closing
	for _, o := range slices.Backward(r.disorder(list)) {
		s.Entries = append(s.Entries, entry(a, o))
		opening -= o.Amount
	}
	s.Balances = []camtBalance{balanceOf("OPBD", a, opening, strings.TrimSuffix(s.From, "T00:00:00")), balanceOf("CLBD", a, closing, min(string(q.to), string(b.today())))}
	text, err := xml.MarshalIndent(d, "", " ")
	if err != nil {
		return nil, err
	}
	b.reported(r.consent, a, q)
	return &reply{status: http.StatusOK, kind: xmlType, body: append([]byte(xml.Header), text...)}, nil
}

// split takes the sign from an amount.
func split(currency string, c Cents) (camtAmount, string) {
	if c < 0 {
		return camtAmount{currency, (-c).String()}, "DBIT"
	}
	return camtAmount{currency, c.String()}, "CRDT"
}

func balanceOf(code string, a *Account, c Cents, day string) camtBalance {
	sum, sign := split(a.Currency, c)
	return camtBalance{code, sum, sign, day}
}

func entry(a *Account, o *Operation) (e camtEntry) {
	e.Amount, e.Sign = split(a.Currency, o.Amount)
	e.Reference, e.Service, e.Status, e.Booked, e.Value = o.Reference, o.ID, "BOOK", string(o.Booked), string(o.Value)
	code := append(strings.Split(o.Code, "-"), "NTAV", "NTAV", "NTAV")
	e.Domain, e.Family, e.SubFamily = code[0], code[1], code[2]
	e.Details.EndToEnd, e.Details.Mandate, e.Details.Text = o.EndToEnd, o.Mandate, o.Text
	if o.EndToEnd == "" {
		e.Details.EndToEnd = "NOTPROVIDED"
	}
	if party := (&camtParty{o.Party}); o.Party != "" && o.Amount < 0 {
		e.Details.Creditor = party
	} else if o.Party != "" {
		e.Details.Debtor = party
	}
	return e
}
