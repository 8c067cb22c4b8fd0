package peer

const strangerEnv = "XFER_TEST_STRANGER"

func beStranger() {}
