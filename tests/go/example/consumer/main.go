package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"

	"github.com/segmentio/kafka-go"
)

type forecast struct {
	NodeID        string  `json:"node_id"`
	PeerID        string  `json:"peer_id"`
	TargetTime    int64   `json:"target_time"` // epoch ms, 15 minutes ahead
	BandwidthMbps float64 `json:"predicted_bandwidth_mbps"`
	Confidence    float64 `json:"confidence"`
	Streams       int     `json:"amst_streams"`
}

func main() {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{os.Args[1]}, Topic: "dwcp.network.forecast.v1", GroupID: "tuner", StartOffset: kafka.FirstOffset,
	})
	defer reader.Close()
	for {
		message, err := reader.ReadMessage(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		var next forecast
		if err := json.Unmarshal(message.Value, &next); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s:%s %.0f Mbps, %d streams\n", next.NodeID, next.PeerID, next.BandwidthMbps, next.Streams)
	}
}
