package camt

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/passerelle-cloud/passerelle/formats"
)

// sample opens a file from elsewhere.
func sample(t *testing.T, name string) *bytes.Reader {
	t.Helper()
	dir := os.Getenv("PASSERELLE_SAMPLES")
	if dir == "" {
		t.Skip("PASSERELLE_SAMPLES is not set: the statements of other programs are not read")
	}
	data, err := os.ReadFile(filepath.Join(dir, "bank", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(data)
}

func TestSamples(t *testing.T) {
	const postfinance = "camt.053_P_CH2909000000250094239_1110092698_0_2020112503071366.xml"
	for _, c := range []struct {
		file       string
		account    string
		operations int
		sum        string // of the operations in the account's currency
		first      formats.BankOperation
	}{
		{"camt052.v8.xml", "CH2801234000123456789-SEK", 1, "-200000", formats.BankOperation{
			TransactionID: "AAAASESS-FP-ACCR-01", Status: "booked", BookingDate: "2007-10-18", ValueDate: "2007-10-18",
			TransactionAmount: formats.Amount{Currency: "SEK", Amount: "-200000"}, BankTransactionCode: "PMNT-ICDT-XBCT", AdditionalInfo: "Credit",
		}},
		{"camt053.v2.five.decimals.xml", "NL26VAYB8060476890-EUR", 1, "8.850", formats.BankOperation{
			EndToEndID: "000000001", Status: "booked", BookingDate: "2014-12-31", ValueDate: "2015-01-02",
			TransactionAmount: formats.Amount{Currency: "EUR", Amount: "8.850"}, CreditorName: "Company Name",
			CreditorAccount: &formats.BankReference{IBAN: "NL56AGDH9619008421"}, Remittance: "Transaction Description", ProprietaryCode: "544",
		}},
		{"camt053.v2.multi.statement.xml", "NL26VAYB8060476890-EUR", 2, "1.85", formats.BankOperation{
			EndToEndID: "000000001", Status: "booked", BookingDate: "2014-12-31", ValueDate: "2015-01-02",
			TransactionAmount: formats.Amount{Currency: "EUR", Amount: "8.85"}, CreditorName: "Company Name 1",
			CreditorAccount: &formats.BankReference{IBAN: "NL56AGDH9619008421"}, Remittance: "Transaction Description 1", ProprietaryCode: "544",
		}},
		{postfinance, "CH2909000000250094239-CHF", 5, "4656.02", formats.BankOperation{
			TransactionID: "0758103031480900", EntryReference: "41100000000872849", Status: "booked", BookingDate: "2020-11-24", ValueDate: "2020-11-24",
			TransactionAmount: formats.Amount{Currency: "CHF", Amount: "4.50"}, BankTransactionCode: "PMNT-IDDT-PMDD",
			AdditionalInfo: "GUTSCHRIFT CH-DD-BASISLASTSCHRIFT ID-NR. DES ZAHLUNGSEMPFÄNGERS: 41100000000872849 REFERENZ-NR: PmtInfId-CHDD-1",
		}},
		{"camt053.v4.xml", "NL26VAYB8060476890-EUR", 1, "8.85", formats.BankOperation{}},
		{"camt053.v8.xml", "NL26VAYB8060476890-EUR", 1, "8.85", formats.BankOperation{
			TransactionID: "AAAASESS-FP-CN_98765/01", EndToEndID: "MUELL/FINP/RA12345", Status: "booked", BookingDate: "2014-12-31", ValueDate: "2015-01-02",
			TransactionAmount: formats.Amount{Currency: "EUR", Amount: "8.85"}, BankTransactionCode: "PMNT-RCDT-BOOK",
			DebtorName: "NAME NAME", DebtorAccount: &formats.BankReference{IBAN: "NL56AGDH9619008421"},
			CreditorName: "Company Name", CreditorAccount: &formats.BankReference{IBAN: "NL56AGDH9619008421", Currency: "EUR"},
			Remittance: "4654654654654654",
		}},
		{"FI_camt_053_sample.xml.xml", "FI7433010001222090-EUR", 13, "13644.83", formats.BankOperation{}},
	} {
		t.Run(c.file, func(t *testing.T) {
			accounts, operations := parts(t, decode(t, sample(t, c.file)))
			if len(accounts) != 1 || accounts[0].ID != c.account {
				t.Errorf("accounts: %+v", accounts)
			}
			if len(operations) != c.operations {
				t.Errorf("%d operations", len(operations))
			}
			if got := sum(t, operations); got.Cmp(formats.Decimal(c.sum).Rat()) != 0 {
				t.Errorf("sum %s, want %s", got.FloatString(5), c.sum)
			}
			if c.first.Status != "" {
				sameBody(t, operations[0], c.first)
			}
			for _, r := range append(operations, accounts...) {
				if err := formats.CheckBody(r.Kind, r.Body); err != nil || r.Native == nil {
					t.Errorf("%s: %v", r.ID, err)
				}
			}
		})
	}
}

func TestWrongSample(t *testing.T) {
	_, err := collect(Codec().Decode(sample(t, "camt053.v2.wrong.xml")))
	if !errors.Is(err, formats.ErrInvalid) {
		t.Fatalf("a message without a statement: %v", err)
	}
}

// What a bank wrote, we write and read again without a change.
func TestSamplesRoundTrip(t *testing.T) {
	for _, name := range []string{"camt052.v8.xml", "camt053.v4.xml", "camt053.v8.xml", "FI_camt_053_sample.xml.xml"} {
		records := decode(t, sample(t, name))
		for i := range records {
			records[i].Native = nil
		}
		same(t, decode(t, bytes.NewReader(encode(t, records))), records)
	}
}
