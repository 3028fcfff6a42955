package bank

import "context"

// Tell tells the bank now that a connection has ended.
func (b *Banks) Tell(ctx context.Context, id string) error {
	_, err := b.finish(ctx, id)
	return err
}
