"""The whole product on one machine: embedded broker, real worker, simulated fleet, and an auditor that subscribes."""
